-- name: create_client
insert into client (client_id, secret_sha256, scope, certificate_bound, owner)
values (%(client_id)s, %(secret_sha256)s, %(scope)s, %(certificate_bound)s, %(owner)s)

-- name: list_clients
select client_id, scope, certificate_bound, created_at, revoked_at from client order by client_id

-- name: rotate_client
update client
set previous_sha256 = secret_sha256,
    previous_until = now() + %(overlap)s * interval '1 second',
    secret_sha256 = %(secret_sha256)s
where client_id = %(client_id)s and revoked_at is null

-- name: revoke_client
update client set revoked_at = now() where client_id = %(client_id)s and revoked_at is null

-- name: find_client
select secret_sha256, case when previous_until > now() then previous_sha256 end, scope, certificate_bound
from client
where client_id = %(client_id)s and revoked_at is null
