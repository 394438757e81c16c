-- name: lock_permit
select pg_advisory_xact_lock(hashtextextended('senogate job ' || %(permit)s, 0))

-- name: open_one
-- The same question under the same permit, of which the answer is on its way.
select job_id from job
where permit = %(permit)s and sha256 = %(sha256)s and state in ('submitted', 'waiting', 'due', 'running', 'checked')

-- name: used
-- How much of a permit's budget is used up: what was refused or cancelled before it ran costs nothing.
select count(*) from job where permit = %(permit)s and not (state in ('refused', 'cancelled') and attempt = 0)

-- name: submit
insert into job (subject, permit, dataset, kind, question, sha256, submitted_by)
values (%(subject)s, %(permit)s, %(dataset)s, %(kind)s, %(question)s, %(sha256)s, %(by)s)
returning job_id

-- name: list
select job_id, subject, permit, dataset, kind, question, state, reason, submitted_at, submitted_by, approved_at,
    approved_by, begun_at, done, total, ended_at, studies, findings, result is not null, released_at, released_by
from job
where (%(job)s::text is null or job_id = %(job)s) and (%(subject)s::text is null or subject = %(subject)s)
order by number desc limit %(limit)s

-- name: result
select result from job where job_id = %(job)s and state = any(%(states)s)

-- name: decide
-- Before it runs, and while it does.
update job set state = %(state)s, reason = %(reason)s,
    approved_at = case when %(state)s = 'due' then now() else approved_at end,
    approved_by = case when %(state)s = 'due' then %(by)s else approved_by end,
    ended_at = case when %(state)s = 'due' then null else now() end,
    result = case when %(state)s = 'due' then result end
where job_id = %(job)s and state = any(%(from)s)
returning permit

-- name: forget_studies
delete from job_study using job where job_study.job = job.number and job_id = %(job)s

-- name: lock
select state, subject, permit, dataset, studies from job where job_id = %(job)s for update

-- name: seen_studies
select count(*) from job_study join job on job.number = job_study.job join study using (study_instance_uid)
where job_id = %(job)s and not study.withheld
    and not exists (
        select from dataset_study m join dataset d on d.number = m.dataset
        where m.study_instance_uid = study.study_instance_uid and m.withheld and d.deleted_at is null
            and d.name = split_part(job.dataset, '@', 1) and d.version = coalesce(nullif(split_part(job.dataset, '@', 2), '')::integer, 0))

-- name: release
update job set state = 'released', released_at = now(), released_by = %(by)s where job_id = %(job)s

-- name: begin_anew
update job set state = 'due', reason = %(reason)s, result = null, findings = null, done = 0 where job_id = %(job)s

-- name: open
select job_id as id from job where state in ('submitted', 'due', 'running') order by number

-- name: begin
-- Whoever ran it until now may not end it any more.
update job set state = case when state = 'submitted' then state else 'running' end, attempt = attempt + 1,
    begun_at = now(), done = 0, total = 0
where job_id = %(job)s and state in ('submitted', 'due', 'running')
returning number, state, attempt, subject, permit, dataset, kind, question, sha256

-- name: consider
-- What a submitted job comes to once it was looked at.
update job set state = %(state)s, reason = %(reason)s, attempt = 0,
    ended_at = case when %(state)s = 'refused' then now() end
where job_id = %(job)s and state = 'submitted'

-- name: progress
update job set done = %(done)s, total = %(total)s
where number = %(number)s and attempt = %(attempt)s and state = 'running'
returning true

-- name: end
update job set state = %(state)s, reason = %(reason)s, ended_at = now(), contents = %(contents)s,
    studies = %(studies)s, findings = %(findings)s, result = %(result)s,
    released_at = case when %(state)s = 'released' then now() end,
    released_by = case when %(state)s = 'released' then %(by)s end
where number = %(number)s and attempt = %(attempt)s and state = 'running'
returning true

-- name: keep_studies
insert into job_study select %(number)s, unnest(%(studies)s::text[]) on conflict do nothing

-- name: answered
-- The answer to the same question of the same contents.
select result, findings from job
where sha256 = %(sha256)s and contents = %(contents)s and permit = %(permit)s and state = 'released' limit 1

-- name: places
-- The mammograms of a study, and where their bytes lie.
select sop_instance_uid, place from instance join series using (series_instance_uid)
where instance.study_instance_uid = %(study)s and is_image and modality = 'MG'

-- name: packages
select package, network, is_whole, size, sent_at, sent_by, approved_at, approved_by from job_package
where (%(package)s::text is null or package = %(package)s) and (%(by)s::text is null or sent_by = %(by)s)
order by sent_at desc

-- name: count_packages
select count(*) from job_package where sent_by = %(by)s

-- name: add_package
insert into job_package (package, passport, network, sent_by) values (%(package)s, %(passport)s, %(network)s, %(by)s)
on conflict do nothing

-- name: forget_parts
delete from job_package_part where package = %(package)s

-- name: add_part
insert into job_package_part values (%(package)s, %(number)s, %(content)s)

-- name: complete_package
update job_package set is_whole = true, size = %(size)s where package = %(package)s

-- name: approve_package
update job_package set approved_at = now(), approved_by = %(by)s where package = %(package)s

-- name: approve_waiting
-- Jobs that waited for that alone are looked at anew.
update job set state = 'submitted' where state = 'waiting' and question ->> 'package' = %(package)s

-- name: forget_packages
-- Those that no job needs, and none has evaluated for so long.
delete from job_package
where sent_at < now() - make_interval(days => %(days)s) and not exists (
    select from job where question ->> 'package' = package and (
        state in ('submitted', 'waiting', 'due', 'running') or submitted_at > now() - make_interval(days => %(days)s)))
returning package

-- name: passport
select passport, network, is_whole, approved_at is not null from job_package where package = %(package)s

-- name: parts
select content from job_package_part where package = %(package)s order by number

-- name: here
-- Of these studies those that may be used in the dataset.
select count(*) from study where study_instance_uid = any(%(studies)s) and not withheld
    and not exists (
        select from dataset_study m join dataset d on d.number = m.dataset
        where m.study_instance_uid = study.study_instance_uid and m.withheld and d.deleted_at is null
            and d.name = split_part(%(dataset)s, '@', 1) and d.version = coalesce(nullif(split_part(%(dataset)s, '@', 2), '')::integer, 0))

-- name: give_back
update job set state = 'due', reason = %(reason)s, done = 0
where number = %(number)s and attempt = %(attempt)s and state = 'running'

-- name: crash
update job set ends = ends + 1 where number = %(number)s and attempt = %(attempt)s returning ends

-- name: usable
select distinct name || case when version > 0 then '@' || version else '' end
from permit join permit_dataset on permit_dataset.permit = permit.number join dataset on dataset.number = dataset
where permit_id = any(%(permits)s) and deleted_at is null order by 1
