-- A condition that a statement takes in braces is composed of constants, its values being parameters.

-- name: add
insert into webhook (name, url, subject, permit, dataset, events, algorithm, salt, created_by)
values (%(name)s, %(url)s, %(subject)s, %(permit)s,
    (select number from dataset where name = %(dataset)s and version = %(version)s and deleted_at is null),
    %(events)s, %(algorithm)s, %(salt)s, %(by)s)
on conflict (name) do nothing

-- name: dataset
select from dataset where name = %(dataset)s and version = %(version)s and deleted_at is null

-- name: list
select w.number, w.name, url, subject, permit,
    d.name || case when d.version > 0 then '@' || d.version else '' end, events, algorithm, salt,
    case when previous_until > now() then previous_salt end, w.created_at, w.created_by,
    (select count(*) from notice where webhook = w.number), failures, retry_at, told_at, failed_at, failure, given_up,
    stopped_at
from webhook w left join dataset d on d.number = w.dataset
where %(name)s::text is null or w.name = %(name)s
order by w.name

-- name: rotate
update webhook set
    previous_salt = salt, previous_until = now() + make_interval(secs => %(overlap)s), salt = %(salt)s
where name = %(name)s

-- name: remove
delete from webhook where name = %(name)s

-- name: want
-- A notice of a reading that has ended to each webhook that wants to hear of it; none of a shadow's, nor of one that was
-- not kept since the study is another by now.
insert into notice (webhook, event, study_instance_uid, task, modality, state, model, result_sop_instance_uid)
select w.number, %(event)s, study_instance_uid, task, modality, state, model, result_sop_instance_uid
from webhook w, reading
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and modality = %(modality)s
    and not shadow and not %(shadow)s and fingerprint = %(fingerprint)s and state <> 'due'
    and %(event)s = any(events) and stopped_at is null

-- name: announce
-- A notice of something else, to each webhook that wants to hear of it and is not narrowed to something else.
insert into notice (webhook, event, about, hearers)
select number, %(event)s, %(about)s, %(hearers)s from webhook
where %(event)s = any(events) and stopped_at is null
    and (dataset is null or dataset = 0 or dataset = any(%(datasets)s::integer[])) and coalesce(permit, '') in ('', %(permit)s)

-- name: datasets_of
select dataset from permit_dataset join permit on permit.number = permit where permit_id = %(permit)s

-- name: tell_alone
select pg_try_advisory_lock(%(key)s)

-- name: waiting
-- Webhooks to which something can be delivered now, and the scope of the client that each is of.
select w.number, w.name, url, subject, permit, coalesce(dataset, 0), algorithm, salt,
    case when w.previous_until > now() then previous_salt end, client.scope
from webhook w left join client on w.subject = 'client:' || client_id
where (%(webhook)s::integer is null or w.number = %(webhook)s)
    and stopped_at is null and (retry_at <= now() or retry_at > now() + interval '2 hours')  -- by a clock that was ahead
    and exists (select from notice where webhook = w.number)

-- name: next
-- The next notice of a webhook whose report can be retrieved and whose study has its place in all datasets.
select n.number, n.id, event, n.study_instance_uid, n.task, n.modality, n.state, n.model, n.result_sop_instance_uid,
    i.series_instance_uid, coalesce((r.findings #>> '{findings,model,research_use_only}')::boolean, true),
    n.attempts, n.created_at, n.about, n.hearers
from notice n
    join webhook w on w.number = n.webhook and stopped_at is null
    left join reading r on r.study_instance_uid = n.study_instance_uid and r.task = n.task
        and r.modality = n.modality and not r.shadow
    left join instance i on i.sop_instance_uid = n.result_sop_instance_uid
where n.webhook = %(webhook)s and (n.result_sop_instance_uid is null or i.sop_instance_uid is not null)
    and not exists (select from unplaced u where u.study_instance_uid = n.study_instance_uid)
order by n.attempts, n.number limit 1

-- name: is_seen
select exists (
    select from study
    where study_instance_uid = %(study)s and {matches}
        and (%(dataset)s = 0 or exists (
            select from dataset_study d
            where d.study_instance_uid = study.study_instance_uid and d.dataset = %(dataset)s and not d.withheld)))

-- name: attempt
update notice set attempts = attempts + 1 where number = %(notice)s

-- name: forget
delete from notice where number = %(notice)s

-- name: told
update webhook set failures = 0, retry_at = now(), told_at = now(), failure = '' where number = %(webhook)s

-- name: failed
update webhook set
    failures = failures + 1, failed_at = now(), failure = %(failure)s, given_up = given_up + %(given_up)s,
    retry_at = now() + make_interval(
        secs => greatest(%(least)s, least(%(longest)s, %(first)s * 2 ^ least(failures, 20))))
where number = %(webhook)s

-- name: stop
update webhook set stopped_at = now(), failed_at = now(), failure = %(failure)s where number = %(webhook)s

-- name: forget_all
delete from notice where webhook = %(webhook)s

-- name: expired
delete from notice using webhook w
where w.number = notice.webhook
    and notice.number in (select number from notice
                          where created_at < now() - make_interval(secs => %(age)s) order by created_at limit 100)
returning webhook, w.name, w.subject, notice.id::text, event, study_instance_uid, attempts

-- name: given_up
update webhook set given_up = given_up + 1 where number = %(webhook)s
