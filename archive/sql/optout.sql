-- name: add
-- One that a withdrawn consent made becomes one that stays when the consent is given again.
insert into opt_out (patient_id, added_by) values (%(patient_id)s, %(by)s)
on conflict (patient_id) do update set by_consent = false, added_by = excluded.added_by where opt_out.by_consent

-- name: withdraw
-- As long as her consent is withdrawn, the opt-out goes on as that of the consent.
with her as (
    select exists (
        select from patient_consent where patient_id = %(patient_id)s and decision = 'withdrawn') as has_withdrawn
), kept as (
    update opt_out set by_consent = true where patient_id = %(patient_id)s and (select has_withdrawn from her)
)
delete from opt_out where patient_id = %(patient_id)s and not (select has_withdrawn from her)

-- name: list
select patient_id, added_at, added_by,
    (select count(*) from study where study_instance_uid = any(studies_of_patient(opt_out.patient_id)) and withheld)
from opt_out
where %(patients)s::text[] is null or patient_id = any(%(patients)s)
order by added_at, patient_id

-- name: trained
select distinct model, version, run, at
from training_use join unnest(%(patients)s::text[]) named on patient_id in (select patients_of(named))
order by at, model, run

-- name: patients
-- Who of the site's patients has one of these pseudonyms.
select distinct meant.id
from unnest(%(patients)s::text[]) named, patients_of(named) meant (id)
where exists (select from study where study.patient_id = meant.id)
    or exists (select from other_patient o where o.patient_id = meant.id)
    or exists (select from crosswalk c where c.patient_id = meant.id)
    or exists (select from spool s where s.patient_id = meant.id)
