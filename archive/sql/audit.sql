-- name: append_at_commit
insert into audit_pending (content) values (%(content)s)

-- name: end_of_chain
select number, hash from audit order by number desc limit 1

-- name: links
select number, hash, content from audit where number > %(after)s and number <= %(last)s order by number

-- name: checkpoints
select number, hash, signed_at, closes, key_id, signature from audit_checkpoint order by position

-- name: try_to_sign
-- One process signs at a time; the others leave it to that one.
select pg_try_advisory_xact_lock(1577713666)

-- name: last_signed
select max(signed_at) from audit_checkpoint

-- name: add_checkpoint
insert into audit_checkpoint (number, hash, signed_at, closes, key_id, signature)
values (%(number)s, %(hash)s, %(signed_at)s, %(closes)s, %(key_id)s, %(signature)s)

-- name: last_before
-- The last record of those that were all written before a moment; the end of the chain is never one of them.
select number, hash from audit
where number < coalesce(
    (select min(number) from audit where content::jsonb ->> 'time' >= %(moment)s), (select max(number) from audit))
order by number desc limit 1

-- name: retire
delete from audit where number <= %(number)s

-- name: append_lines
-- Contents hold no line feed: JSON writes it as \n.
select append_to_audit(string_to_array(%(lines)s, E'\n'))
