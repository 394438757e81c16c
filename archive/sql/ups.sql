-- {matches} is a condition composed of constants, and {workitem} the table as who looks at it knows it; their values are
-- parameters.

-- name: create
insert into workitem (sop_instance_uid, state, attributes, study_instance_uid, task, created_by, given_uid)
values (
    %(workitem)s, 'SCHEDULED', %(attributes)s, %(study_instance_uid)s, %(task)s, %(created_by)s, %(given_uid)s)
on conflict do nothing

-- name: find
select sop_instance_uid from {workitem}
where sop_instance_uid in (%(workitem)s, %(own)s) and known_uid = %(workitem)s and {matches}

-- name: retrieve
select state, transaction_uid, attributes, performed_here from {workitem}
where sop_instance_uid = %(workitem)s and {matches}

-- name: retrieve_to_change
select state, transaction_uid, attributes, performed_here from {workitem}
where sop_instance_uid = %(workitem)s and {matches}
for update

-- name: change
update workitem set
    state = %(state)s, transaction_uid = %(transaction_uid)s, attributes = %(attributes)s,
    performed_here = %(performed_here)s, changed_at = now()
where sop_instance_uid = %(workitem)s

-- name: search
select attributes from {workitem} where {matches}
order by changed_at desc, sop_instance_uid
limit %(limit)s offset %(offset)s

-- name: matches
select exists (select from workitem where sop_instance_uid = %(workitem)s and {matches})

-- name: subscribe
insert into workitem_subscription (subscriber, workitem, filter, deletion_lock)
values (%(subscriber)s, %(workitem)s, %(filter)s, %(deletion_lock)s)
on conflict (subscriber, workitem) do update set filter = excluded.filter, deletion_lock = excluded.deletion_lock

-- name: subscribe_to_all
insert into workitem_subscription (subscriber, workitem, deletion_lock)
select %(subscriber)s, sop_instance_uid, %(deletion_lock)s from {workitem} where {matches}
on conflict do nothing

-- name: unsubscribe
delete from workitem_subscription where subscriber = %(subscriber)s and workitem = %(workitem)s

-- name: unsubscribe_from_all
delete from workitem_subscription where subscriber = %(subscriber)s

-- name: subscriptions
select subscriber, workitem, filter from workitem_subscription where workitem = any(%(workitems)s)

-- name: add_event
with added as (
    insert into workitem_event (subscriber, workitem, report) values (%(subscriber)s, %(workitem)s, %(report)s))
select pg_notify(%(channel)s, %(subscriber)s)

-- name: forget_events
delete from workitem_event where created_at < now() - interval '7 days'

-- name: take_events
with taken as (delete from workitem_event where subscriber = %(subscriber)s returning number, report, workitem)
select case when known_uid = sop_instance_uid then report
    else jsonb_set(report::jsonb, '{{00001000,Value,0}}', to_jsonb(known_uid))::text end
from taken join {workitem} on workitem.sop_instance_uid = taken.workitem
where {matches}
order by number

-- name: want_readings
-- Of all modalities that the study has images of.
insert into reading (study_instance_uid, task, modality, shadow, state, fingerprint)
select study_instance_uid, %(task)s, modality, false, 'due', fingerprint
from study_images where study_instance_uid = %(study_instance_uid)s
on conflict (study_instance_uid, task, modality, shadow) do update set
    state = case
        when reading.state = 'done' and reading.fingerprint = excluded.fingerprint
            and (reading.result_sop_instance_uid is null
                 or exists (select from instance i where i.sop_instance_uid = reading.result_sop_instance_uid))
        then 'done' else 'due' end,
    fingerprint = excluded.fingerprint, attempts = 0, reason = null, changed_at = now()

-- name: readings
-- Workitems whose readings have begun, and those whose readings have ended with what these made being indexed.
select w.sop_instance_uid, w.state,
    case when bool_or(r.state = 'due') then 'due' when bool_or(r.state = 'done') then 'done' else 'failed' end,
    r.study_instance_uid,
    coalesce(
        jsonb_agg(jsonb_build_array(i.series_instance_uid, i.sop_class_uid, i.sop_instance_uid) order by r.modality)
            filter (where i.sop_instance_uid is not null), '[]')
from workitem w
    join reading r using (study_instance_uid, task)
    join study using (study_instance_uid)
    left join instance i on i.sop_instance_uid = r.result_sop_instance_uid
where not r.shadow and not withheld and (w.state = 'SCHEDULED' or w.state = 'IN PROGRESS' and w.performed_here)
group by w.sop_instance_uid, r.study_instance_uid
having bool_or(r.attempts > 0 or r.state <> 'due')
    and not bool_or(r.state = 'done' and r.result_sop_instance_uid is not null and i.sop_instance_uid is null)
    and not (w.state = 'IN PROGRESS' and bool_or(r.state = 'due'))
limit 100

-- name: take_unlisted
-- Readings that have changed and of which no workitem tells: none is open, and none has ended since.
with taken as (
    delete from unlisted_reading where (study_instance_uid, task) in (
        select study_instance_uid, task from unlisted_reading order by changed_at limit 100 for update skip locked)
    returning *)
select study_instance_uid, task from taken join study using (study_instance_uid)
where not withheld and not exists (
    select from workitem w
    where w.study_instance_uid = taken.study_instance_uid and w.task = taken.task
        and (w.state = 'SCHEDULED' or w.state = 'IN PROGRESS' and w.performed_here
            or w.state in ('COMPLETED', 'CANCELED') and w.changed_at >= taken.changed_at))

-- name: forget_listed
-- Workitems of the site's own that ended a week ago, but those that a subscriber has locked against it.
with gone as (
    delete from workitem w
    where created_by = %(by)s and state in ('COMPLETED', 'CANCELED') and changed_at < now() - interval '7 days'
        and not exists (
            select from workitem_subscription s where s.workitem = w.sop_instance_uid and s.deletion_lock)
    returning sop_instance_uid
), untold as (delete from workitem_event where workitem in (select sop_instance_uid from gone))
delete from workitem_subscription where workitem in (select sop_instance_uid from gone)
