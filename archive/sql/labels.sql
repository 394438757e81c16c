-- name: study
-- Two at most, so that it is known whether there is one. A patient's dates were shifted, each patient's by other days.
select study_instance_uid from study
where not withheld
    and (%(study)s::text = '' or study_instance_uid = %(study)s)
    and (%(patients)s::text[] is null
        or exists (
            select from unnest(%(patients)s::text[], %(dates)s::text[]) given (patient_id, study_date)
            where given.patient_id = study.patient_id and given.study_date in ('', study.study_date)))
    and (%(patients)s::text[] is not null or %(date)s::text in ('', study_date))
    and (%(accession)s::text = '' or accession_number = %(accession)s)
limit 2

-- name: begin
insert into label_import (sha256, imported_by) values (%(sha256)s, %(by)s) returning number

-- name: add
insert into label (study_instance_uid, what, value, import)
select study_instance_uid, %(what)s, %(value)s, %(import)s from study where study_instance_uid = %(study)s and not withheld
on conflict (study_instance_uid, what) do update set value = excluded.value, import = excluded.import

-- name: list
select label.study_instance_uid,
    max(value #>> '{}') filter (where what = 'density'),
    max(jsonb_array_length(value)) filter (where what = 'lesions'),
    max(value #>> '{}') filter (where what = 'assessment'),
    bool_or(value = 'true') filter (where what = 'cancer'),
    max(import), max(imported_at), (array_agg(imported_by order by import desc))[1]
from label join label_import on number = import join study on study.study_instance_uid = label.study_instance_uid
where not withheld
group by label.study_instance_uid
order by max(import), label.study_instance_uid

-- name: remove
delete from label where (%(studies)s::text[] is null or study_instance_uid = any(%(studies)s))
    and (%(import)s::integer is null or import = %(import)s)

-- name: of_studies
select study_instance_uid, what, value from label where study_instance_uid = any(%(studies)s)

-- name: said
-- What readers last said of all of a reading, or of each of its lesions; of findings that they saw.
select study_instance_uid, findings::text, fingerprint, lesion, decision
from (
    select review.*, row_number() over (
        partition by study_instance_uid, task, modality, lesion, reviewer order by number desc) as back
    from review
    where study_instance_uid = any(%(studies)s) and task = %(task)s and modality = 'MG' and decision <> 'comment') last
where back = 1
order by number

-- name: keep_cohort
insert into cohort (root, leaves) values (%(root)s, %(leaves)s)
on conflict (root) do update set used_at = now()

-- name: cohort
select leaves from cohort where root = %(root)s
