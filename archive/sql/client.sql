-- name: create_client
insert into client (client_id, secret_sha256, scope) values (%(client_id)s, %(secret_sha256)s, %(scope)s)

-- name: list_clients
select client_id, scope, created_at, revoked_at from client order by client_id

-- name: revoke_client
update client set revoked_at = now() where client_id = %(client_id)s and revoked_at is null

-- name: find_client
select secret_sha256, scope from client where client_id = %(client_id)s and revoked_at is null
