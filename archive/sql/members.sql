-- Whom a hub has invited, and who takes part in its federation.

-- name: withdraw
update invitation set withdrawn_at = now()
where name = %(name)s and used_at is null and withdrawn_at is null

-- name: invite
insert into invitation (code_sha256, name, created_by, expires_at)
values (%(code)s, %(name)s, %(by)s, %(expires_at)s)

-- name: invitations
select name, created_at, created_by, expires_at from invitation
where used_at is null and withdrawn_at is null and expires_at > now()
order by name

-- name: invitation
-- An invitation by its code, locked until whoever looks has decided.
select number, name, expires_at > now(), used_at is not null, withdrawn_at is not null
from invitation where code_sha256 = %(code)s for update

-- name: use
update invitation set used_at = now() where number = %(invitation)s

-- name: request
insert into member (name, state, site_key, node_key, invitation)
values (%(name)s, 'requested', %(site_key)s, %(node_key)s, %(invitation)s)
on conflict do nothing

-- name: members
select number, name, state, site_key, node_key, requested_at, approved_at, approved_by, ended_at
from member
where (%(name)s::text is null or name = %(name)s) and (%(states)s::text[] is null or state = any(%(states)s))
order by name, number desc

-- name: of_invitation
select number, name, state, site_key, node_key, requested_at, approved_at, approved_by, ended_at
from member where invitation = %(invitation)s

-- name: of_keys
-- Whether one of the keys belongs to another name, or to whom it was taken away.
select exists (
    select from member
    where (site_key = %(site_key)s or node_key = %(node_key)s) and (name <> %(name)s or state = 'revoked'))

-- name: approve
update member set state = 'active', approved_at = now(), approved_by = %(by)s
where number = %(number)s and state = 'requested'

-- name: end
update member set state = %(state)s, ended_at = now()
where name = %(name)s and state in ('requested', 'active')
