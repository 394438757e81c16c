-- name: add_issuer
insert into issuer (name, url, audience, client_id, scope, roles)
values (%(name)s, %(url)s, %(audience)s, %(client_id)s, %(scope)s, %(roles)s)

-- name: list_issuers
select name, url, audience, client_id, scope, roles from issuer order by name

-- name: remove_issuer
delete from issuer where name = %(name)s returning url

-- name: end_sessions_of_issuer
delete from session where split_part(subject, '#', 1) = %(url)s and position('#' in subject) > 0
