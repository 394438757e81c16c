-- name: append
select append_to_audit(%(contents)s::text[])

-- name: append_at_commit
insert into audit_pending (content) values (%(content)s)
