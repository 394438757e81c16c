-- name: record
-- Nothing where she withdrew on a later day (UTC) than the one on which she gives it: an old paper gives nothing back.
insert into consent (patients, decision, scope, stated_at, text_sha256, evidence, recorded_by)
select %(patients)s::text[], %(decision)s::text, %(scope)s::text, %(stated_at)s::timestamptz, %(text_sha256)s, %(evidence)s, %(by)s
where %(decision)s::text <> 'given' or not exists (
    select from patient_consent newest join consent said on said.number = newest.consent
    where newest.patient_id in (
            select unnest(%(patients)s::text[])
            union select alias from patient_alias where patient_id = any(%(patients)s::text[]))
        and newest.scope = %(scope)s::text and newest.decision = 'withdrawn'
        and (said.stated_at at time zone 'UTC')::date > (%(stated_at)s::timestamptz at time zone 'UTC')::date)
returning id

-- name: list
-- The newest first. A statement is current where it is the newest of one of its patients for its scope.
select id, patients, decision, scope, stated_at, text_sha256, evidence, recorded_at, recorded_by,
    exists (select from patient_consent where patient_consent.consent = consent.number)
from consent
where (%(patients)s::text[] is null or patients && %(patients)s) and (%(id)s::uuid is null or id = %(id)s)
order by number desc limit %(limit)s

-- name: permits
-- Under which permits the trail says that her studies were read.
-- Conditions are those of the trail's indexes, so that the records of a few are looked up and not all read.
with her as materialized (
    select unnest(studies_of_patient(patient)) as study from unnest(%(patients)s::text[]) patient
), named as (
    select content from audit
    where content like '%%"patient":%%' and content::jsonb ->> 'patient' = any(%(patients)s)
    union all
    select content from her join audit on content like '%%"study":%%' and content::jsonb ->> 'study' = her.study
)
select distinct permit
from named, jsonb_array_elements_text(content::jsonb -> 'permits') permit
where content like '%%"permits":%%' and content::jsonb ->> 'event' = 'access.read'
order by permit

-- name: studies
-- Her studies that are here, and how many of them everybody is kept from.
select count(*), count(*) filter (where withheld) from study
where study_instance_uid in (
    select unnest(studies_of_patient(patient)) from unnest(%(patients)s::text[]) patient)

-- name: demand
update dataset set consent_scope = %(scope)s where name = %(name)s and deleted_at is null

-- name: demanded
select name, consent_scope from dataset where consent_scope is not null and version = 0 and deleted_at is null order by name

