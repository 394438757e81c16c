-- name: ask
insert into erasure (id, kind, pseudonyms, asked_by, reason)
values (%(id)s, %(kind)s, %(pseudonyms)s, %(by)s, %(reason)s)
on conflict (kind, pseudonyms) where completed_at is null do nothing

-- name: due_as
select id from erasure where kind = %(kind)s and pseudonyms = %(pseudonyms)s and completed_at is null

-- name: cut_short
-- One that was asked for while the clock was ahead does not wait until it is there again.
select id from erasure
where completed_at is null and (asked_at < now() - make_interval(secs => %(age)s) or asked_at > now() + interval '1 minute')
order by asked_at

-- name: read
select id, kind, pseudonyms, asked_at, asked_by, reason, studies, instances, others, removed, completed_at, receipt
from erasure where id = %(id)s

-- name: list
select id, kind, pseudonyms, asked_at, asked_by, reason, studies, instances, others, removed, completed_at, receipt
from erasure order by asked_at

-- name: erase_alone
select pg_try_advisory_lock(1577713682)

-- name: erase_no_longer_alone
select pg_advisory_unlock(1577713682)

-- name: store_together
-- Whoever brings something of a study to Orthanc or into the index holds this lock meanwhile.
select pg_advisory_xact_lock_shared(1577713681)

-- name: await_stores
select pg_advisory_xact_lock(1577713681)

-- name: may_store
select exists (select from study where study_instance_uid = %(id)s and not withheld)

-- name: may_store_spooled
select exists (select from spool where id = %(id)s)

-- name: find
-- The studies of a patient, and of each the patients under whom Orthanc may hold it.
with studies as (
    select study_instance_uid, patient_id from study
    union select study_instance_uid, patient_id from other_patient
    union select study_instance_uid, patient_id from crosswalk where study_instance_uid is not null
    union select study_instance_uid, patient_id from spool)
select study_instance_uid, array_agg(patient_id) filter (where patient_id is not null)
from studies
where %(kind)s = 'study' and study_instance_uid = any(%(pseudonyms)s)
    or %(kind)s = 'patient' and patient_id = any(%(pseudonyms)s)
group by study_instance_uid

-- name: note_found
update erasure set
    studies = array(select unnest(studies) union select unnest(%(studies)s::text[]) order by 1),
    instances = array(select unnest(instances) union select unnest(%(instances)s::text[]) order by 1)
where id = %(id)s

-- name: count_removed
update erasure set removed = removed || jsonb_build_object(
    %(what)s::text, coalesce((removed ->> %(what)s::text)::bigint, 0) + %(number)s::bigint)
where id = %(id)s

-- name: places
select place from instance where study_instance_uid = any(%(studies)s) and orthanc_id = any(%(instances)s)

-- name: note_others
-- What a patient's studies hold of other patients.
update erasure set others = array(
    select unnest(others)
    union select orthanc_id from instance
    where kind = 'patient' and study_instance_uid = any(%(studies)s) and orthanc_id <> all(%(instances)s))
where id = %(id)s

-- name: forget_deleted
delete from deleted where uid = any(%(studies)s)
    or uid in (select series_instance_uid from series where study_instance_uid = any(%(studies)s))
    or uid in (select pseudonym from crosswalk where study_instance_uid = any(%(studies)s))
    or uid in (select sop_instance_uid from instance where study_instance_uid = any(%(studies)s))

-- name: readings
select count(*) from reading where study_instance_uid = any(%(studies)s)

-- name: reviews
select count(*) from review where study_instance_uid = any(%(studies)s)

-- name: forget_workitems
with gone as (
    delete from workitem w
    where study_instance_uid = any(%(studies)s)
        or attributes #>> '{00100020,Value,0}' = any(%(patients)s)
        or w.studies ?| %(studies)s
    returning sop_instance_uid
), unsubscribed as (delete from workitem_subscription where workitem in (select sop_instance_uid from gone)
), untold as (delete from workitem_event where workitem in (select sop_instance_uid from gone))
select sop_instance_uid from gone

-- name: forget_jobs
delete from procrastinate_jobs where args ->> 'study_instance_uid' = any(%(studies)s) and status <> 'doing'

-- name: forget_instances
delete from instance where study_instance_uid = any(%(studies)s)

-- name: forget_series
delete from series where study_instance_uid = any(%(studies)s)

-- name: forget_studies
delete from study where study_instance_uid = any(%(studies)s)

-- name: forget_set_aside
delete from unindexed where orthanc_id = any(%(instances)s)

-- name: forget_training
delete from training_use where patient_id = any(%(patients)s)

-- name: spooled
select id from spool
where %(kind)s = 'study' and study_instance_uid = any(%(pseudonyms)s)
    or %(kind)s = 'patient' and patient_id = any(%(pseudonyms)s)

-- name: forget_spooled
delete from spool where id = %(spooled)s

-- name: forget_identities
delete from crosswalk
where %(kind)s = 'study' and study_instance_uid = any(%(pseudonyms)s)
    or %(kind)s = 'patient' and patient_id = any(%(pseudonyms)s)

-- name: forget_aliases
delete from patient_alias where patient_id = any(%(patients)s)

-- name: complete
update erasure set completed_at = %(at)s, receipt = %(receipt)s, studies = '{}', instances = '{}', others = '{}'
where id = %(id)s

-- name: erased_since
-- Whether what was written at a moment, in seconds since 1970, has been erased after it.
select 1 from erasure
where pseudonyms && %(pseudonyms)s::text[] and completed_at > to_timestamp(%(written)s) limit 1
