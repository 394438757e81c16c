-- name: give_back
update bucket set tokens = least(tokens + 1, %(capacity)s) where name = %(name)s

-- name: take_tokens
select taken, wait from take_tokens(%(name)s, %(wanted)s, %(per_second)s, %(capacity)s)
