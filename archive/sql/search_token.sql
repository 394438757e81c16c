-- name: add
insert into search_token (name, token_sha256, created_by) values (%(name)s, %(token_sha256)s, %(by)s)

-- name: list
select name, created_at, created_by, revoked_at from search_token order by name

-- name: revoke
update search_token set revoked_at = now() where name = %(name)s and revoked_at is null

-- name: find
-- Whose token it is, and whether there is any at all.
select (select name from search_token where token_sha256 = %(token_sha256)s and revoked_at is null),
    exists (select from search_token where revoked_at is null)
