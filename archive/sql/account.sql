-- name: add_account
insert into account (name, password_hash) values (%(name)s, %(password_hash)s)

-- name: list_accounts
select name, created_at, disabled_at from account order by name

-- name: find_account
select password_hash from account where name = %(name)s and disabled_at is null

-- name: set_password
update account set password_hash = %(password_hash)s where name = %(name)s

-- name: disable_account
update account set disabled_at = now() where name = %(name)s and disabled_at is null

-- name: enable_account
update account set disabled_at = null where name = %(name)s and disabled_at is not null
