-- name: is_stale
select exists (select from search_stale)

-- name: next_revision
update search_revision set revision = revision + 1 returning revision

-- name: take
-- Of these, the studies that may be of other datasets now, and how many rows are taken of each.
with taken as (
    delete from search_stale where ctid = any(array(select ctid from search_stale limit %(limit)s))
    returning study_instance_uid, is_member)
select study_instance_uid, bool_or(is_member), count(*) from taken group by 1

-- name: take_studies
delete from search_stale where study_instance_uid = any(%(studies)s)

-- name: all_stale
insert into search_stale
select study_instance_uid, false from study
union select study_instance_uid, false from search_fact where study_instance_uid is not null

-- name: patients
select distinct patient from search_fact where study_instance_uid = any(%(studies)s)

-- name: reports
-- Structured reports that others wrote; those of models and of reviews are known here.
select study_instance_uid, metadata from instance
where study_instance_uid = any(%(studies)s) and sop_class_uid = any(%(classes)s)
    and not exists (
        select from reading r
        where r.study_instance_uid = instance.study_instance_uid and r.result_sop_instance_uid = instance.sop_instance_uid)
    and not exists (
        select from review r
        where r.study_instance_uid = instance.study_instance_uid and r.sop_instance_uid = instance.sop_instance_uid)

-- name: compute
-- What the index holds of the studies that are not withheld, a row for each.
with named as materialized (
    select study_instance_uid, patient_id, patient_sex, study_date, patient_birth_date, attributes #>> '{00101010,Value,0}' as age
    from study where study_instance_uid = any(%(studies)s) and not withheld
), shot as materialized (
    select i.study_instance_uid, i.series_instance_uid, i.sop_class_uid = '1.2.840.10008.5.1.4.1.1.13.1.3' as is_tomosynthesis,
        is_image and s.modality = 'MG' as is_mammogram,
        case when is_image then
            coalesce(i.attributes #>> '{00200062,Value,0}', s.attributes #>> '{00200060,Value,0}') end as side,
        case when is_image and s.modality = 'MG' then coalesce(
            i.attributes #>> '{00185101,Value,0}',
            case i.attributes #>> '{00540220,Value,0,00080100,Value,0}'
                when '399162004' then 'CC' when 'R-10242' then 'CC'
                when '399368009' then 'MLO' when 'R-10226' then 'MLO' end) end as view
    from named join instance i using (study_instance_uid) join series s on s.series_instance_uid = i.series_instance_uid
), kind as (
    select distinct s.study_instance_uid,
        case when s.modality = 'MG' and t.is_tomosynthesis then 'DBT' else upper(s.modality) end as modality,
        left(upper(trim(coalesce(s.attributes #>> '{00080070,Value,0}', ''))), 64) as manufacturer,
        left(coalesce(nullif(upper(trim(s.attributes #>> '{00180015,Value,0}')), ''),
            case when s.modality = 'MG' then 'BREAST' else '' end), 64) as body_part
    from named join series s using (study_instance_uid)
        left join (select series_instance_uid, bool_or(is_tomosynthesis) as is_tomosynthesis from shot group by 1) t
            using (series_instance_uid)
), held as (
    select study_instance_uid,
        jsonb_agg(jsonb_build_array(modality, manufacturer, body_part) order by modality, manufacturer, body_part)::text as kinds
    from kind group by 1
), seen as (
    select study_instance_uid,
        bool_or(is_mammogram) as has_mammograms,
        count(distinct case when is_mammogram and side in ('L', 'R') and view in ('CC', 'MLO') then side || view end) = 4
            as is_complete,
        bool_or(side in ('L', 'B')) as has_left, bool_or(side in ('R', 'B')) as has_right
    from shot group by 1
), known as (
    select study_instance_uid, jsonb_object_agg(what, value) as labels
    from named join label using (study_instance_uid) group by 1
), read as (
    select study_instance_uid,
        jsonb_agg(coalesce(jsonb_path_query_array(findings, 'lax $.findings.lesions[*].kind.value'), '[]')) as lesions
    from named join reading using (study_instance_uid) where task = 'lesions' and state = 'done' and not shadow group by 1
)
select study_instance_uid, search_hash(named.patient_id), named.study_date, age, patient_birth_date, patient_sex,
    coalesce(held.kinds, '[]'),
    coalesce(has_mammograms, false), coalesce(is_complete, false), coalesce(has_left, false), coalesce(has_right, false),
    coalesce(known.labels, '{}'), read.lesions, coalesce(summary.density, '')
from named left join held using (study_instance_uid) left join seen using (study_instance_uid)
    left join known using (study_instance_uid) left join read using (study_instance_uid)
    left join study_summary summary using (study_instance_uid)

-- name: keep_kinds
insert into search_kinds (kinds) select distinct kinds from unnest(%(kinds)s::text[]) told (kinds)
where not exists (select from search_kinds k where k.kinds = told.kinds) order by 1

-- name: update
-- Of studies that may be of other datasets, although nothing else has changed.
update search_fact set
    revision = %(revision)s, patient = c.patient, day = c.day, age = c.age, sex = c.sex, kinds = k.code, views = c.views,
    laterality = c.laterality, density = c.density, assessment = c.assessment, diagnosis = c.diagnosis, findings = c.findings
from unnest({columns}) c ({names}) join search_kinds k on k.kinds = c.kinds
where search_fact.study_instance_uid = c.study_instance_uid and (
    c.study_instance_uid = any(%(members)s)
    or (search_fact.patient, search_fact.day, search_fact.age, search_fact.sex, search_fact.kinds, search_fact.views,
        search_fact.laterality, search_fact.density, search_fact.assessment, search_fact.diagnosis, search_fact.findings)
    is distinct from (
        c.patient, c.day, c.age, c.sex, k.code, c.views, c.laterality, c.density, c.assessment, c.diagnosis, c.findings))

-- name: insert
insert into search_fact (
    revision, study_instance_uid, patient, day, age, sex, kinds, views, laterality, density, assessment, diagnosis, findings)
select %(revision)s, c.study_instance_uid, c.patient, c.day, c.age, c.sex, k.code, c.views, c.laterality, c.density,
    c.assessment, c.diagnosis, c.findings
from unnest({columns}) c ({names}) join search_kinds k on k.kinds = c.kinds
where not exists (select from search_fact f where f.study_instance_uid = c.study_instance_uid)
order by c.patient

-- name: empty
-- What has gone, or is withheld.
update search_fact set (
    revision, study_instance_uid, patient, day, age, sex, kinds, views, laterality, density, assessment, diagnosis, findings, round)
    = (select %(revision)s::bigint, null::text, 0, 0, -1, 0, 0, 0, 0, 0, -1, 0, 0, 0)
where study_instance_uid = any(%(gone)s)

-- name: count_rounds
-- A patient's exams by mammography in the order of their days; what was taken on one day is one round.
update search_fact set round = counted.round, revision = %(revision)s
from (
    select number, case when views > 0 and day > 0
        then least(dense_rank() over (partition by patient, views > 0 and day > 0 order by day), 32767) else 0 end as round
    from search_fact
    where study_instance_uid is not null and patient = any(%(patients)s)) counted
where counted.number = search_fact.number and search_fact.round <> counted.round

-- name: revision
select revision from search_revision

-- name: last_number
select coalesce(max(number), 0) from search_fact

-- name: facts
-- Rows of one width in PostgreSQL's binary format.
copy (
    select number, revision, patient, day, age, sex, kinds, views, laterality, density, assessment, diagnosis, findings, round,
        (study_instance_uid is not null)::integer::smallint
    from search_fact where revision > {revision}
) to stdout (format binary)

-- name: kinds
select code, kinds from search_kinds where code > %(code)s order by code

-- name: published
-- With the words of the version that everybody sees, and not those that a steward writes beside it.
select d.number, d.name, v.fields ->> 'title', v.fields ->> 'description', r.published_at
from catalogue_record r join dataset d on d.number = r.dataset
    left join record_version v on v.name = d.name and v.version = r.version
where r.published_at is not null and d.deleted_at is null and d.version = 0 and d.number > 0
order by d.name

-- name: members
copy (
    select f.number from search_fact f join dataset_study d using (study_instance_uid)
    where d.dataset = {dataset} and not d.withheld
) to stdout (format binary)

-- name: changed_members
select f.number, d.dataset from search_fact f join dataset_study d using (study_instance_uid)
where f.revision > %(revision)s and d.dataset = any(%(datasets)s) and not d.withheld

-- name: gather_statistics
-- Who brought so many at once is not to wait for autovacuum with plans made for few.
analyze search_fact, search_kinds, dataset_study
