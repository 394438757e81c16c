-- name: take_tokens
select taken, wait from take_tokens(%(name)s, %(wanted)s, %(per_second)s, %(capacity)s)
