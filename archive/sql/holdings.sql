-- name: count
-- What the studies of a dataset hold, as JSON: numbers, and counts by what can be told apart.
with member as materialized (
    select study_instance_uid, patient_id, patient_sex, study_date, modalities, sop_classes, number_of_series,
        substring(attributes #>> '{00101010,Value,0}' from '^0*([0-9]{1,3})Y$')::integer as age
    from study
    where not withheld and (%(number)s = 0 or exists (
        select from dataset_study
        where dataset = %(number)s and dataset_study.study_instance_uid = study.study_instance_uid
            and not dataset_study.withheld))
), image as (
    select count(*) filter (where is_image) as images, coalesce(sum(size), 0) as bytes
    from member join instance using (study_instance_uid)
), made as materialized (
    select distinct study_instance_uid, patient_id, upper(trim(s.attributes #>> '{00080070,Value,0}')) as name
    from member join series s using (study_instance_uid)
    where s.modality in ('MG', 'US', 'MR', 'CT', 'PT', 'DX', 'CR')
), maker as (
    select name, count(*) as studies from made group by 1
), cell (patient_id, facet, value) as (
    select patient_id, 'modalities', unnest(modalities) from member
    union all select patient_id, 'manufacturers', name from made where name > ''
    union all select patient_id, 'ages', (age / 5 * 5)::text from member where age is not null
    union all select patient_id, 'years', left(study_date, 4) from member where study_date ~ '^[0-9]{8}$'
    union all select m.patient_id, 'densities', density
        from member m join study_summary using (study_instance_uid) where density > ''
    union all select patient_id, 'tomosynthesis', 'all'
        from member where '1.2.840.10008.5.1.4.1.1.13.1.3' = any(sop_classes)
    union all select m.patient_id, 'lesions', unnest(array['read', case when score is null then 'unmarked' else 'marked' end])
        from member m join study_summary using (study_instance_uid) where 'lesions:done' = any(states)
), by_age as (
    select age / 5 * 5 as low, count(*) as studies from member where age is not null group by 1
)
select jsonb_build_object(
    'individuals', count(distinct patient_id),
    'studies', count(*),
    'series', coalesce(sum(number_of_series), 0),
    'images', (select images from image),
    'bytes', (select bytes from image),
    'modalities', (
        select coalesce(jsonb_object_agg(modality, studies), '{}')
        from (select modality, count(*) as studies from member, unnest(modalities) modality group by 1) counted),
    'tomosynthesis', count(*) filter (where '1.2.840.10008.5.1.4.1.1.13.1.3' = any(sop_classes)),
    'manufacturers', (select coalesce(jsonb_object_agg(name, studies), '{}') from maker where name > ''),
    'sexes', (
        select coalesce(jsonb_object_agg(sex, individuals), '{}')
        from (select patient_sex as sex, count(distinct patient_id) as individuals from member group by 1) counted),
    'ages', (select coalesce(jsonb_object_agg(low, studies), '{}') from by_age),
    'years', (
        select coalesce(jsonb_object_agg(year, studies), '{}')
        from (select left(study_date, 4) as year, count(*) as studies from member where study_date ~ '^[0-9]{8}$' group by 1) counted),
    'densities', (
        select coalesce(jsonb_object_agg(density, studies), '{}')
        from (
            select density, count(*) as studies
            from member join study_summary using (study_instance_uid) where density > '' group by 1) counted),
    'patients', (
        select '{"lesions": {}}' || coalesce(jsonb_object_agg(facet, held), '{}') from (
            select facet, jsonb_object_agg(value, individuals) as held from (
                select facet, value, count(distinct patient_id) as individuals from cell group by 1, 2) counted
            group by 1) facets),
    'lesions', (
        select jsonb_build_object('read', count(*), 'marked', count(*) filter (where score is not null))
        from member join study_summary using (study_instance_uid) where 'lesions:done' = any(states)))
from member

-- name: bound
select set_config('statement_timeout', %(longest)s, true)

-- name: keep
insert into holdings (dataset, content, published, basis, mark)
values (%(number)s, %(content)s, %(published)s, %(content)s, %(mark)s)
on conflict (dataset) do update set content = excluded.content, mark = excluded.mark, counted_at = now(),
    published = case when %(is_told)s then excluded.published else holdings.published end,
    basis = case when %(is_told)s then excluded.content else holdings.basis end,
    told_at = case when %(is_told)s then now() else holdings.told_at end

-- name: kept
select content, basis, extract(epoch from now() - told_at)::double precision, mark from holdings where dataset = %(number)s

-- name: mark
-- Sums of hashes, so that the order does not matter. Members that are withheld are left out, as they are not counted.
select concat_ws(':', count(*), sum(hashtextextended(study_instance_uid, 0)))
from dataset_study where dataset = %(number)s and not withheld

-- name: counted
select mark, counted_at not between now() - make_interval(secs => %(day)s) and now() + interval '1 minute' from holdings where dataset = %(number)s

-- name: changes
select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_user_tables
where relname in ('dataset_study', 'catalogue_record')
