-- name: is_held
select exists (select from spool where digest = %(digest)s and state in ('waiting', 'cleaning', 'quarantined'))

-- name: hold
-- What was discarded, or released and deleted since, is held anew; all else stays as it is, and gives no row.
insert into spool (
    id, digest, state, reason, patient_id, study_instance_uid, sop_instance_uid, sop_class_uid, size)
values (
    %(id)s, %(digest)s, %(state)s, %(reason)s, %(patient_id)s, %(study_instance_uid)s, %(sop_instance_uid)s,
    %(sop_class_uid)s, %(size)s)
on conflict (digest) do update set
    id = excluded.id, state = excluded.state, reason = excluded.reason, attempts = 0, masks = null,
    decision = null,
    received_at = now(), changed_at = now()
where spool.state = 'discarded' or (spool.state = 'released' and not exists (
    select from instance i where i.sop_instance_uid = spool.sop_instance_uid))

-- name: held_as
select id from spool where digest = %(digest)s

-- name: due
select id from spool where state in ('waiting', 'cleaning') order by received_at limit 100

-- name: begin
update spool set state = 'cleaning', attempts = attempts + 1, changed_at = now()
where id = %(id)s and state in ('waiting', 'cleaning')
returning attempts

-- name: put_back
update spool set state = 'waiting', attempts = greatest(attempts - 1, 0), changed_at = now()
where id = %(id)s and state = 'cleaning'

-- name: finish
update spool set state = %(state)s, reason = %(reason)s, masks = %(masks)s, changed_at = now()
where id = %(id)s and state = 'cleaning'
returning id

-- name: decide
update spool set state = %(state)s, reason = %(reason)s, decision = %(decision)s, changed_at = now()
where id = %(id)s and state in ('waiting', 'cleaning', 'quarantined')
returning id

-- name: list
select id, state, reason, sop_class_uid, study_instance_uid, sop_instance_uid, size, attempts, received_at, changed_at,
       masks, decision
from spool
where %(state)s::text is null or state = %(state)s
order by received_at, id

-- name: show
select id, state, reason, sop_class_uid, study_instance_uid, sop_instance_uid, size, attempts, received_at, changed_at,
       masks, decision
from spool where id = %(id)s

-- name: of_instances
select sop_instance_uid, id, state, reason from spool
where sop_instance_uid = any(%(instances)s::text[]) order by received_at

-- name: open_ids
select id from spool where state in ('waiting', 'cleaning', 'quarantined')

-- name: study
select study_instance_uid from spool where id = %(id)s

-- name: record_opening
-- Here and in the audit trail: both, or neither.
with recorded as (insert into audit_pending (content) values (%(content)s))
insert into spool_opening (spool_id, opened_by, purpose) values (%(id)s, %(by)s, %(purpose)s)

-- name: openings
select opened_at, opened_by, purpose from spool_opening where spool_id = %(id)s order by opened_at

-- name: count_open
select state, count(*) from spool where state in ('waiting', 'cleaning', 'quarantined') group by state
