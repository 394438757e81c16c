-- {matches} is a condition composed of constants, its values being parameters; {members} are statements that find the
-- members of datasets as rows of dataset_study.

-- name: definitions
select number, query from dataset where number > 0 and version = 0 and deleted_at is null order by number

-- name: hold_still
select pg_advisory_xact_lock_shared(%(key)s)

-- name: stop_the_others
select pg_advisory_xact_lock(%(key)s)

-- name: unplaced
delete from unplaced returning study_instance_uid

-- name: members_by_study
select {number}, study.study_date, study.study_instance_uid, study.withheld from study
where {which} and {matches}

-- name: members_by_series
select {number}, study.study_date, study.study_instance_uid, study.withheld from study
where {which} and exists (
    select from series where series.study_instance_uid = study.study_instance_uid and {matches})

-- name: members_by_instance
select {number}, study.study_date, study.study_instance_uid, study.withheld from study
where {which} and exists (
    select from instance join series using (series_instance_uid)
    where instance.study_instance_uid = study.study_instance_uid and {matches})

-- name: fill
insert into dataset_study {members} on conflict do nothing

-- name: place_study
select distinct number, study.study_date, study.study_instance_uid, study.withheld
from study, unnest(array[{held}]) number
where study.study_instance_uid = any(%(studies)s) and number is not null

-- name: place_series
select distinct number, study.study_date, study.study_instance_uid, study.withheld
from study join series using (study_instance_uid), unnest(array[{held}]) number
where study.study_instance_uid = any(%(studies)s) and number is not null

-- name: place_instance
select distinct number, study.study_date, study.study_instance_uid, study.withheld
from study join instance using (study_instance_uid) join series using (series_instance_uid), unnest(array[{held}]) number
where study.study_instance_uid = any(%(studies)s) and number is not null

-- name: place
with member (dataset, study_date, study_instance_uid, withheld) as materialized (
    {members}
), gone as (
    delete from dataset_study
    where study_instance_uid = any(%(studies)s) and dataset = any(%(numbers)s::integer[])
        and not exists (
            select from member
            where member.dataset = dataset_study.dataset and member.study_instance_uid = dataset_study.study_instance_uid)
)
insert into dataset_study
select member.dataset, member.study_date, member.study_instance_uid, member.withheld from member
where not exists (
    select from dataset_study kept
    where kept.dataset = member.dataset and kept.study_instance_uid = member.study_instance_uid)

-- name: create
insert into dataset (name, query, description, created_by)
values (%(name)s, %(query)s, %(description)s, %(by)s)
on conflict (name, version) where deleted_at is null do nothing
returning number

-- name: list
select number, name, version, query, description, created_at, created_by, number_of_studies, number_of_instances, sha256
from dataset where deleted_at is null and (%(name)s::text is null or name = %(name)s)
order by name, version

-- name: count
-- Bits, one for each study that is not withheld; of a million studies a few hundred rows.
select coalesce(sum(bit_count(members)), 0)::bigint from dataset_month where dataset = %(number)s

-- name: count_everything
select coalesce(sum(studies), 0)::bigint from study_month where modality = ''

-- name: count_each
select dataset, sum(bit_count(members))::bigint from dataset_month group by dataset
union all
select 0, coalesce(sum(studies), 0)::bigint from study_month where modality = ''

-- name: freeze
insert into dataset (name, version, query, description, created_by)
select name, 1 + (select max(version) from dataset d where d.name = dataset.name and d.deleted_at is null), query,
    description, %(by)s
from dataset where name = %(name)s and version = 0 and deleted_at is null
returning number, version

-- name: freeze_members
insert into dataset_study
select %(version)s, study.study_date, study.study_instance_uid from study
where not study.withheld and (%(number)s = 0 or exists (
    select from dataset_study
    where dataset = %(number)s and study_instance_uid = study.study_instance_uid and not dataset_study.withheld))

-- name: contents
select study_instance_uid, sop_instance_uid
from dataset_study join instance using (study_instance_uid) join study using (study_instance_uid)
where dataset = %(number)s and not study.withheld and not dataset_study.withheld
order by study_instance_uid, sop_instance_uid

-- name: contents_of_everything
select study_instance_uid, sop_instance_uid
from instance join study using (study_instance_uid)
where not study.withheld
order by study_instance_uid, sop_instance_uid

-- name: seal
update dataset set number_of_studies = %(studies)s, number_of_instances = %(instances)s, sha256 = %(sha256)s
where number = %(number)s

-- name: is_in_use
select exists (
    select from permit join permit_dataset on permit_dataset.permit = permit.number join dataset on dataset.number = dataset
    where name = %(name)s and deleted_at is null
        and (state = 'requested' or state = 'granted' and (valid_until is null or valid_until > now())))

-- name: delete
update dataset set deleted_at = now() where name = %(name)s and deleted_at is null and number > 0
returning number, version

-- name: forget_members
delete from dataset_study where dataset = any(%(numbers)s)
