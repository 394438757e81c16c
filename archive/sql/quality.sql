-- name: due
-- Studies to be looked at. What is withheld is not looked at until it no longer is. Nothing is put off for an hour: what says so
-- was put off when the clock was ahead.
select distinct study_instance_uid
from quality_due join study using (study_instance_uid) left join quality_attempt using (study_instance_uid)
where not withheld and (next_try is null or next_try <= now() or next_try > now() + interval '1 hour') limit %(limit)s

-- name: begin
-- How often it was begun, with this time.
insert into quality_attempt (study_instance_uid, tries, is_begun, next_try)
select study_instance_uid, 1, true, now() + interval '5 minutes' from study where study_instance_uid = %(study)s
on conflict (study_instance_uid) do update set
    tries = quality_attempt.tries + 1, is_begun = true,
    next_try = now() + make_interval(mins => 5 * (quality_attempt.tries + 1))
returning tries

-- name: end_try
update quality_attempt set is_begun = false where is_begun

-- name: forgive
update quality_attempt set tries = tries - 1, is_begun = false, next_try = now() where is_begun

-- name: put_off
-- It counts for nothing, and others come first.
update quality_attempt set tries = tries - 1, is_begun = false, next_try = now() + interval '5 minutes' where is_begun

-- name: all_due
insert into quality_due
select study_instance_uid from study where study_instance_uid = any(%(studies)s) and not exists (
    select from study_quality q where q.study_instance_uid = study.study_instance_uid)

-- name: again
insert into quality_due select study_instance_uid from study where study_instance_uid = %(study)s

-- name: take
-- It is taken before its images are listed, in one transaction with what is found: what comes meanwhile makes it due again.
with tried as (delete from quality_attempt where study_instance_uid = %(study)s)
delete from quality_due where study_instance_uid = %(study)s

-- name: files
-- Those of the images of a study that have not been looked at as they are, or were not there then.
select i.sop_instance_uid, i.place
from instance i left join image_quality q using (sop_instance_uid)
where i.study_instance_uid = %(study)s and i.is_image and (q.place is distinct from i.place or q.problem = 'missing')
order by i.sop_instance_uid

-- name: images
-- Headers of all images of a study, and whether their files have been looked at as they are.
select i.metadata, q.place is not distinct from i.place
from instance i left join image_quality q using (sop_instance_uid)
where i.study_instance_uid = %(study)s and i.is_image
order by i.sop_instance_uid

-- name: looked
insert into image_quality (sop_instance_uid, study_instance_uid, place, pixels, problem)
select sop_instance_uid, study_instance_uid, %(place)s, %(pixels)s, %(problem)s
from instance where sop_instance_uid = %(instance)s
on conflict (sop_instance_uid) do update set
    place = excluded.place, pixels = excluded.pixels, problem = excluded.problem,
    study_instance_uid = excluded.study_instance_uid

-- name: found
insert into study_quality (study_instance_uid, findings)
select study_instance_uid, %(findings)s from study where study_instance_uid = %(study)s
on conflict (study_instance_uid) do update set findings = excluded.findings, checked_at = now()

-- name: studies
-- What was found in studies: in all of a dataset, or in one. With pictures that are here more than once: in the study
-- itself, in another of the patient, in one of another patient.
with member as materialized (
    select study_instance_uid, patient_id from study
    where not withheld and case when %(study)s::text is not null then study_instance_uid = %(study)s
        when %(number)s = 0 then true
        else study_instance_uid in (select d.study_instance_uid from dataset_study d where d.dataset = %(number)s and not d.withheld) end
), repeated as (
    select distinct m.study_instance_uid, q.sop_instance_uid,
        case when other.study_instance_uid = q.study_instance_uid then 'pixels-repeated'
            when os.patient_id = m.patient_id then 'pixels-of-another-study'
            else 'pixels-of-another-patient' end as finding
    from member m join image_quality q using (study_instance_uid)
        join image_quality other on other.pixels = q.pixels and other.sop_instance_uid <> q.sop_instance_uid
        join study os on os.study_instance_uid = other.study_instance_uid and not os.withheld
    where q.pixels is not null
), broken as (
    select study_instance_uid, problem, count(*) as images
    from member join image_quality using (study_instance_uid) where problem is not null group by 1, 2
), counted as (
    select study_instance_uid, finding, count(*) as images from repeated group by 1, 2
    union all
    select study_instance_uid, case problem when 'missing' then 'file-missing' else problem end, images from broken
), told as (
    select study_instance_uid,
        jsonb_agg(jsonb_build_object('check', finding, 'instances', images, 'attributes', '[]'::jsonb) order by finding) as findings
    from counted group by 1
)
select m.study_instance_uid, q.findings || coalesce(told.findings, '[]'), q.checked_at
from member m left join study_quality q using (study_instance_uid) left join told using (study_instance_uid)
order by m.study_instance_uid

-- name: people
-- How many patients of a dataset are alike in what is kept of them that others may know, too; by their first exam here.
select count(*), sex, age, year, maker, model, ethnic_group, size, weight from (
    select distinct on (patient_id)
        patient_sex as sex, substring(attributes #>> '{00101010,Value,0}' from '^0*([0-9]{1,3})Y$')::integer as age,
        substring(study_date from '^[0-9]{4}')::integer as year,
        (select upper(trim(min(s.attributes #>> '{00080070,Value,0}'))) from series s
         where s.study_instance_uid = study.study_instance_uid) as maker,
        (select upper(trim(min(s.attributes #>> '{00081090,Value,0}'))) from series s
         where s.study_instance_uid = study.study_instance_uid) as model,
        attributes #>> '{00102160,Value,0}' as ethnic_group,
        substring(attributes #>> '{00101020,Value,0}' from '^[0-9]{1,9}(?:[.][0-9]{0,9})?$')::float as size,
        substring(attributes #>> '{00101030,Value,0}' from '^[0-9]{1,9}(?:[.][0-9]{0,9})?$')::float as weight
    from study
    where not withheld and (%(number)s = 0
        or study_instance_uid in (select d.study_instance_uid from dataset_study d where d.dataset = %(number)s and not d.withheld))
    order by patient_id, study_date, study_instance_uid) person
group by sex, age, year, maker, model, ethnic_group, size, weight

-- name: changes
-- A number that grows with whatever changes a report.
select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint from pg_stat_user_tables
where relname in ('dataset_study', 'study', 'study_quality', 'image_quality')

-- name: unreported
-- The dataset or version whose report is the oldest of those that something may have changed of.
select number from dataset left join quality_report on dataset = number
where deleted_at is null and changes is distinct from %(changes)s
order by tried_at nulls first, number limit 1

-- name: bound
select set_config('statement_timeout', %(longest)s, true)

-- name: keep_report
insert into quality_report (dataset, content, changes, made_at) values (%(number)s, %(content)s, %(changes)s, now())
on conflict (dataset) do update set
    content = excluded.content, changes = excluded.changes, tried_at = now(), made_at = excluded.made_at

-- name: forget_worst
delete from quality_worst where dataset = %(number)s

-- name: keep_worst
insert into quality_worst
select %(number)s, place, study_instance_uid, findings::jsonb, checked_at
from unnest(%(studies)s::text[], %(findings)s::text[], %(checked)s::timestamptz[])
    with ordinality told (uid, findings, checked_at, place) join study on study_instance_uid = uid

-- name: late_report
insert into quality_report (dataset, changes) values (%(number)s, %(changes)s)
on conflict (dataset) do update set changes = excluded.changes, tried_at = now()

-- name: report
select content, made_at from quality_report where dataset = %(number)s and content is not null

-- name: worst
-- Without those that have been withheld since.
select study_instance_uid, findings, checked_at from quality_worst join study using (study_instance_uid)
where dataset = %(number)s and not withheld order by place
