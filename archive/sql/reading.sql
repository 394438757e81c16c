-- name: want
-- Readings of studies, of all for null; what is read already only where its images are others, or `again`.
insert into reading (study_instance_uid, task, modality, shadow, state, fingerprint)
select study_instance_uid, %(task)s, modality, %(shadow)s, 'due', fingerprint
from study_images
where modality = %(modality)s and (%(studies)s::text[] is null or study_instance_uid = any(%(studies)s))
on conflict (study_instance_uid, task, modality, shadow) do update set
    state = 'due', fingerprint = excluded.fingerprint, attempts = 0, reason = null, changed_at = now()
where %(again)s or reading.fingerprint <> excluded.fingerprint

-- name: due
-- Those of which no job waits on the queue.
select study_instance_uid, task, modality, shadow, name
from reading, lateral (select concat_ws(
    ' ', case when shadow then 'shadow' else 'reading' end, task, modality, study_instance_uid) as name) job
where state = 'due' and not (select withheld from study where study.study_instance_uid = reading.study_instance_uid)
    and not exists (select from procrastinate_jobs where queueing_lock = name and status = 'todo')
order by shadow, changed_at limit 1000

-- name: right_heartbeats
-- Of a worker that was killed while the clock was ahead, which would count as alive until it is there again.
update procrastinate_workers set last_heartbeat = now() where last_heartbeat > now() + interval '1 minute'

-- name: announce
select pg_notify('senogate_readings', %(change)s)

-- name: announce_end
-- What is still due of the study may have waited for this one.
select pg_notify('senogate_readings', case when exists (
    select from reading where study_instance_uid = %(study_instance_uid)s and state = 'due') then 'due' else 'changed' end)

-- name: begin
update reading set attempts = attempts + 1, changed_at = now()
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and modality = %(modality)s
    and shadow = %(shadow)s and state = 'due'
    and not (select withheld from study where study.study_instance_uid = reading.study_instance_uid)
returning attempts, fingerprint, reason, trace

-- name: give_back
update reading set attempts = attempts - 1
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and modality = %(modality)s
    and shadow = %(shadow)s and state = 'due' and fingerprint = %(fingerprint)s and attempts > 0

-- name: note_end
-- Why an attempt came to no end; the reading is still due.
update reading set reason = %(reason)s
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and modality = %(modality)s
    and shadow = %(shadow)s and state = 'due' and fingerprint = %(fingerprint)s

-- name: finish
update reading set
    state = %(state)s, model = %(model)s, reason = %(reason)s, findings = %(findings)s,
    result_sop_instance_uid = %(result_sop_instance_uid)s, changed_at = now()
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and modality = %(modality)s
    and shadow = %(shadow)s and fingerprint = %(fingerprint)s

-- name: log
insert into inference_log (
    study_instance_uid, task, modality, shadow, fingerprint, state, reason, model_name, model_version, model_sha256,
    inputs, output_sha256, device, began_at, seconds, parts)
select %(study_instance_uid)s, %(task)s, %(modality)s, %(shadow)s, %(fingerprint)s, %(state)s, %(reason)s,
    %(model_name)s, %(model_version)s, %(model_sha256)s, %(inputs)s, %(output_sha256)s, %(device)s, %(began_at)s,
    %(seconds)s, %(parts)s
from study where study_instance_uid = %(study_instance_uid)s

-- name: of_study
select state, model, reason, findings::text, result_sop_instance_uid from reading
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and not shadow
order by modality limit 1

-- name: images
select place from instance join series using (study_instance_uid, series_instance_uid)
where study_instance_uid = %(study_instance_uid)s and modality = %(modality)s and is_image
order by sop_instance_uid

-- name: superseded
-- Of the series that a model's results are in, the instances that its last reading did not give.
select orthanc_id from instance
where series_instance_uid = any(%(series)s) and orthanc_id <> all(%(stored)s)

-- name: progress
-- How many of these instances the index lacks, and whether something of the study is still to be read.
select
    (select count(*) from unnest(%(instances)s::text[]) as wanted
     where not exists (select from instance i where i.sop_instance_uid = wanted)) as missing,
    exists (select from study where study_instance_uid = %(study)s and not withheld
        and (exists (select from unsettled u where u.study_instance_uid = study.study_instance_uid)
            or exists (select from reading r
                where r.study_instance_uid = study.study_instance_uid and not r.shadow
                    and (r.state = 'due' or r.result_sop_instance_uid is not null and not exists (
                        select from instance i where i.sop_instance_uid = r.result_sop_instance_uid))))) as unread
