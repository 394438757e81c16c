-- What a site may learn from. {dataset} is a condition on the table `study`; what is withheld in a dataset alone is no
-- part of it. A person is told by the pseudonym that her Patient ID has without an issuer, so that exams with an issuer
-- and exams without are one person's.

-- name: of_dataset
exists (
    select from dataset_study
    where dataset = %(number)s and dataset_study.study_instance_uid = study.study_instance_uid
        and dataset_study.withheld = study.withheld)

-- name: of_everything
true

-- name: person
coalesce((select min(alias) from patient_alias where patient_alias.patient_id = study.patient_id), study.patient_id)

-- name: candidates
-- Each study with its person and a fingerprint of what it holds. Of whom a study of several patients is nobody knows.
select study.study_instance_uid, study.patient_id, {person},
    encode(sha256(convert_to(
        string_agg(sop_instance_uid || ' ' || place, E'\n' order by sop_instance_uid), 'UTF8')), 'hex')
from study join instance using (study_instance_uid)
where not withheld and {dataset}
    and not exists (
        select from other_patient o where o.study_instance_uid = study.study_instance_uid and o.patient_id <> study.patient_id)
group by study.study_instance_uid
order by study.study_instance_uid

-- name: left_out
select distinct {person} from study where withheld and {dataset} order by 1

-- name: here
select study_instance_uid from study where study_instance_uid = any(%(studies)s) and not withheld

-- name: instances
-- Mammograms, and what could be reports of readers, with all that their headers say.
select instance.study_instance_uid, series_instance_uid, sop_instance_uid, is_image, metadata
from instance join series using (series_instance_uid) join study on study.study_instance_uid = instance.study_instance_uid
where instance.study_instance_uid = any(%(studies)s) and not withheld
    and (is_image and modality = 'MG' or sop_class_uid = any(%(reports)s))
order by sop_instance_uid
