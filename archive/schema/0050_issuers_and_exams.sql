-- Who withdraws a consent and names no issuer may be any patient of that Patient ID. One of them who then consents under the
-- pseudonym of her issuer is held no longer; the others are.
create function has_opted_out(patient text) returns boolean language sql stable as $$
    select exists (select from opt_out where patient_id = patient)
        or exists (
            select from patient_alias named join opt_out on opt_out.patient_id = named.alias
            where named.patient_id = patient and (not by_consent or exists (
                select from patient_consent newest join consent withdrawn on withdrawn.number = newest.consent
                where newest.patient_id = named.alias and newest.decision = 'withdrawn' and not exists (
                    select from patient_consent since join consent given on given.number = since.consent
                    where since.patient_id = patient and since.scope = newest.scope and since.decision = 'given'
                        and given.number > withdrawn.number
                        and (given.stated_at at time zone 'UTC')::date >= (withdrawn.stated_at at time zone 'UTC')::date))))
$$;

create or replace function withhold_studies(studies text[]) returns void language sql as $$
    update study set withheld = not withheld
    where study_instance_uid = any(studies) and withheld <> (
        with patient as (
            select study.patient_id
            union select o.patient_id from other_patient o where o.study_instance_uid = study.study_instance_uid)
        select exists (select from patient where has_opted_out(patient_id))
            or lacks_consent(study.study_instance_uid, (select consent_scope from dataset where number = 0))
            or exists (
                select from erasure
                where completed_at is null and (
                    kind = 'study' and study.study_instance_uid = any(pseudonyms)
                    or kind = 'patient' and pseudonyms && array(select patient_id from patient))))
$$;

-- Studies that are withheld for a withdrawal to which they are no longer held.
select withhold_studies(array(select study_instance_uid from study join patient_alias using (patient_id) where withheld));

-- Headers of exams are looked at for more than before: all are looked at again. Of pixels none are, for their files are the same.
insert into quality_due select study_instance_uid from study;
