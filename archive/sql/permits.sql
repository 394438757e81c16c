-- name: roles
select array(select role from role_grant where subject = %(subject)s), subject_is_active(%(subject)s)

-- name: granted
select p.permit_id, p.purpose, p.actions,
    coalesce(array_agg(d.number order by d.number) filter (where d.number > 0 and d.version = 0), '{}'),
    coalesce(array_agg(d.number order by d.number) filter (where d.version > 0), '{}'),
    coalesce(bool_or(d.number = 0), false), p.valid_from, p.valid_until
from permit p
    left join permit_dataset on permit_dataset.permit = p.number
    left join dataset d on d.number = permit_dataset.dataset and d.deleted_at is null
where p.subject = %(subject)s and p.state = 'granted' and (p.valid_until is null or p.valid_until > now())
group by p.number order by p.number

-- name: request
insert into permit (subject, state, purpose, legal_basis, hdab_identifier, actions, conditions, requested_by)
values (%(subject)s, 'requested', %(purpose)s, %(legal_basis)s, %(hdab_identifier)s, %(actions)s, %(conditions)s, %(by)s)
returning number, permit_id

-- name: name_dataset
insert into permit_dataset
select %(permit)s, number from dataset where name = %(name)s and version = %(version)s and deleted_at is null
on conflict do nothing

-- name: grant
update permit set
    state = 'granted', valid_from = %(since)s, valid_until = %(until)s, reason = %(reason)s,
    conditions = coalesce(%(conditions)s, conditions), actions = coalesce(%(actions)s, actions),
    decided_at = now(), decided_by = %(by)s
where permit_id = %(permit_id)s and state = 'requested'

-- name: reject
update permit set state = 'rejected', reason = %(reason)s, decided_at = now(), decided_by = %(by)s
where permit_id = %(permit_id)s and state = 'requested'

-- name: revoke
update permit set state = 'revoked', reason = %(reason)s, revoked_at = now(), revoked_by = %(by)s
where permit_id = %(permit_id)s and state = 'granted'

-- name: list
select permit_id, subject,
    case when state = 'granted' and valid_until <= now() then 'expired' else state end,
    purpose, legal_basis, hdab_identifier, actions,
    array(select name || case when version > 0 then '@' || version else '' end
          from permit_dataset join dataset d on d.number = dataset where permit = p.number order by 1),
    conditions, requested_at, requested_by, decided_at, decided_by, reason, valid_from, valid_until, revoked_at,
    revoked_by
from permit p
where (%(permits)s::text[] is null or permit_id = any(%(permits)s))
    and (%(subject)s::text is null or subject = %(subject)s)
order by number

-- name: add_role
insert into role_grant (subject, role, granted_by) values (%(subject)s, %(role)s, %(by)s) on conflict do nothing

-- name: remove_role
delete from role_grant where subject = %(subject)s and role = %(role)s

-- name: list_roles
select subject, role, granted_at, granted_by from role_grant order by subject, role
