-- name: follow_alone
select pg_try_advisory_lock(%(key)s)

-- name: watch
select
    exists (select from pg_locks join pg_database d on d.oid = database
            where d.datname = current_database() and locktype = 'advisory' and classid = 0 and objid = %(key)s
                and objsubid = 1 and granted),
    followed_at > clock_timestamp() - make_interval(secs => %(age)s)
from follow_position

-- name: position
select sequence from follow_position

-- name: index_mark
select index_mark from follow_position

-- name: follow_index
update follow_position set index_mark = %(mark)s

-- name: former_places
select sop_instance_uid, place from instance where sop_instance_uid = any(%(uids)s)

-- name: named_places
select place from instance where place = any(%(places)s)

-- name: move_position
update follow_position set sequence = %(sequence)s, followed_at = clock_timestamp()
where sequence <> %(sequence)s or followed_at < clock_timestamp() - interval '2 s'

-- name: upsert_studies
-- The first of its instances tells what a study is, until one comes that names another patient: a correction. The study is
-- of both from then on, since others of its instances may be the first one's. Rows that are there and say the same are not
-- locked.
with came as materialized (
    select c.*, known.patient_id as known_as
    from unnest(
        %(study_instance_uid)b::text[], %(patient_id)b::text[], %(patient_name)b::text[], %(patient_birth_date)b::text[],
        %(patient_sex)b::text[], %(study_date)b::text[], %(study_time)b::text[], %(accession_number)b::text[],
        %(study_id)b::text[], %(referring_physician_name)b::text[], %(study_description)b::text[],
        %(attributes)b::jsonb[]) as c (
        study_instance_uid, patient_id, patient_name, patient_birth_date, patient_sex, study_date, study_time,
        accession_number, study_id, referring_physician_name, study_description, attributes)
        left join study known using (study_instance_uid)
    where known.patient_id is distinct from c.patient_id collate "C"
), another as (
    insert into other_patient (study_instance_uid, patient_id)
    select study_instance_uid, known_as from came where known_as is not null
    on conflict do nothing)
insert into study (
    study_instance_uid, patient_id, patient_name, patient_birth_date, patient_sex, study_date, study_time,
    accession_number, study_id, referring_physician_name, study_description, modalities, sop_classes,
    number_of_series, number_of_instances, attributes, dicom_json)
select
    study_instance_uid, patient_id, patient_name, patient_birth_date, patient_sex, study_date, study_time,
    accession_number, study_id, referring_physician_name, study_description, '{}', '{}', 0, 0, attributes, ''
from came order by study_instance_uid collate "C"
on conflict (study_instance_uid) do update set
    patient_id = excluded.patient_id, patient_name = excluded.patient_name,
    patient_birth_date = excluded.patient_birth_date, patient_sex = excluded.patient_sex,
    study_date = excluded.study_date, study_time = excluded.study_time,
    accession_number = excluded.accession_number, study_id = excluded.study_id,
    referring_physician_name = excluded.referring_physician_name,
    study_description = excluded.study_description, attributes = excluded.attributes
where study.patient_id <> excluded.patient_id

-- name: upsert_series
insert into series (
    series_instance_uid, study_instance_uid, modality, series_number, number_of_instances, attributes, dicom_json)
select c.series_instance_uid, c.study_instance_uid, c.modality, c.series_number, 0, c.attributes, ''
from unnest(
    %(series_instance_uid)b::text[], %(study_instance_uid)b::text[], %(modality)b::text[],
    %(series_number)t::integer[], %(attributes)b::jsonb[]) as c (
    series_instance_uid, study_instance_uid, modality, series_number, attributes)
where not exists (select from series known where known.series_instance_uid = c.series_instance_uid collate "C")
order by c.series_instance_uid collate "C"
on conflict (series_instance_uid) do nothing

-- name: upsert_instances
-- How many of them the index says now; others of these UIDs, in another series, stay as they are. What it says already is
-- not written again.
with came as materialized (
    select c.*,
        known.series_instance_uid = c.series_instance_uid collate "C"
        and known.study_instance_uid = c.study_instance_uid collate "C"
        and (known.orthanc_id, known.place, known.size, known.transfer_syntax_uid, known.number_of_frames, known.pixel_offset,
            known.pixel_length, known.dicom_json, known.metadata, known.attributes)
        is not distinct from (
            c.orthanc_id collate "C", c.place collate "C", c.size, c.transfer_syntax_uid collate "C", c.number_of_frames,
            c.pixel_offset, c.pixel_length, c.dicom_json, c.metadata, c.attributes) as is_known
    from unnest(
        %(sop_instance_uid)b::text[], %(series_instance_uid)b::text[], %(study_instance_uid)b::text[],
        %(sop_class_uid)b::text[], %(instance_number)t::integer[], %(number_of_frames)t::integer[],
        %(transfer_syntax_uid)b::text[], %(orthanc_id)b::text[], %(place)b::text[], %(size)t::bigint[],
        %(pixel_offset)t::bigint[], %(pixel_length)t::bigint[], %(is_image)s::boolean[], %(attributes)b::jsonb[],
        %(dicom_json)b::bytea[], %(metadata)b::bytea[]) as c (
        sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid, instance_number, number_of_frames,
        transfer_syntax_uid, orthanc_id, place, size, pixel_offset, pixel_length, is_image, attributes, dicom_json, metadata)
        left join instance known using (sop_instance_uid)
), written as (
    insert into instance (
        sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid, instance_number, number_of_frames,
        transfer_syntax_uid, orthanc_id, place, size, pixel_offset, pixel_length, is_image, attributes, dicom_json, metadata)
    select
        sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid, instance_number, number_of_frames,
        transfer_syntax_uid, orthanc_id, place, size, pixel_offset, pixel_length, is_image, attributes, dicom_json, metadata
    from came where is_known is not true
    order by sop_instance_uid collate "C"
    on conflict (sop_instance_uid) do update set
        orthanc_id = excluded.orthanc_id, place = excluded.place, size = excluded.size,
        transfer_syntax_uid = excluded.transfer_syntax_uid, number_of_frames = excluded.number_of_frames,
        pixel_offset = excluded.pixel_offset, pixel_length = excluded.pixel_length,
        attributes = excluded.attributes, dicom_json = excluded.dicom_json, metadata = excluded.metadata
    where instance.series_instance_uid = excluded.series_instance_uid
        and instance.study_instance_uid = excluded.study_instance_uid
    returning 1)
select (select count(*) from written) + (select count(*) from came where is_known)

-- name: series_totals
select series_instance_uid, attributes::text, (select count(*) from instance i where i.series_instance_uid = s.series_instance_uid)
from series s
where study_instance_uid = any(%(studies)s)

-- name: update_series
update series s set number_of_instances = c.number_of_instances, dicom_json = c.dicom_json
from unnest(%(series_instance_uid)b::text[], %(number_of_instances)t::integer[], %(dicom_json)b::bytea[])
    as c (series_instance_uid, number_of_instances, dicom_json)
where s.series_instance_uid = c.series_instance_uid collate "C"
    and (s.number_of_instances, s.dicom_json) is distinct from (c.number_of_instances, c.dicom_json)

-- name: study_totals
select
    study_instance_uid,
    attributes::text,
    (select array_agg(distinct modality order by modality) from series s
     where s.study_instance_uid = t.study_instance_uid and modality <> ''),
    (select array_agg(distinct sop_class_uid order by sop_class_uid) from instance i
     where i.study_instance_uid = t.study_instance_uid),
    (select count(*) from series s where s.study_instance_uid = t.study_instance_uid),
    (select count(*) from instance i where i.study_instance_uid = t.study_instance_uid)
from study t
where study_instance_uid = any(%(studies)s)

-- name: update_studies
-- Lists come as text, their values parted by a control character that none of them holds.
update study s set
    modalities = c.modalities, sop_classes = c.sop_classes, number_of_series = c.number_of_series,
    number_of_instances = c.number_of_instances, dicom_json = c.dicom_json
from (
    select study_instance_uid, string_to_array(modalities, E'\x1f') as modalities,
        string_to_array(sop_classes, E'\x1f') as sop_classes, number_of_series, number_of_instances, dicom_json
    from unnest(
        %(study_instance_uid)b::text[], %(modalities)b::text[], %(sop_classes)b::text[], %(number_of_series)t::integer[],
        %(number_of_instances)t::integer[], %(dicom_json)b::bytea[])
        as told (study_instance_uid, modalities, sop_classes, number_of_series, number_of_instances, dicom_json)) c
where s.study_instance_uid = c.study_instance_uid collate "C"
    and (s.modalities, s.sop_classes, s.number_of_series, s.number_of_instances, s.dicom_json)
    is distinct from (c.modalities, c.sop_classes, c.number_of_series, c.number_of_instances, c.dicom_json)

-- name: search_anew
-- What is asked of studies for counts is told by their instances, too.
insert into search_stale select unnest(%(studies)s::text[]), false

-- name: unsettle
insert into unsettled (study_instance_uid)
select study_instance_uid from study where study_instance_uid = any(%(studies)s)
on conflict (study_instance_uid) do update set changed_at = now()

-- name: settle
-- What came when the clock was ahead of what it is now does not wait until it is there again.
delete from unsettled
where changed_at <= now() - make_interval(secs => %(age)s) or changed_at > now() + interval '1 minute'
returning study_instance_uid

-- name: set_aside
insert into unindexed (orthanc_id, reason) values (%(orthanc_id)s, %(reason)s)
on conflict (orthanc_id) do update set reason = excluded.reason, noticed_at = now()

-- name: list_held
-- What Orthanc holds, listed here: a worker's memory is none for all instances of a site.
create temporary table held (orthanc_id text collate "C" not null) on commit drop

-- name: copy_held
copy held from stdin

-- name: not_held
select sop_instance_uid, orthanc_id, place from instance
where not exists (select from held where held.orthanc_id = instance.orthanc_id)

-- name: studies
select study_instance_uid from study

-- name: count_known
select (select count(*) from instance) + (select count(*) from unindexed)

-- name: take_removals
delete from removal where number in (select number from removal order by number limit 1000)
returning sop_instance_uid, place

-- name: want_comparison
insert into removal default values

-- name: note_removal
-- An instance whose file lies in the bucket is known by its place alone; what nothing is known of may be any.
with noted as (
    select coalesce(uid, m.sop_instance_uid) as uid, r.place
    from unnest(%(uids)s::text[], %(places)s::text[]) as r (uid, place) left join moved m using (place)
), gone as (
    update moved set gone_at = now() from noted where moved.place = noted.place and gone_at is null
)
insert into removal (sop_instance_uid, place)
select uid, case when uid is not null then place end from noted

-- name: forget_set_aside
delete from unindexed

-- name: forget_instances
-- What is being erased is left to the erasure, which counts what it takes.
with removed as (
    select * from unnest(%(uids)s::text[], %(places)s::text[]) as r (uid, place)
), gone as (
    delete from instance i using removed r where i.sop_instance_uid = r.uid and i.place = r.place
        and not exists (select from erasure e where e.completed_at is null and i.orthanc_id = any(e.instances))
    returning i.sop_instance_uid, i.study_instance_uid, i.is_image
), told as (
    insert into deleted (uid) select sop_instance_uid from gone on conflict do nothing
)
select study_instance_uid, is_image from gone

-- name: forget_empty_series
with gone as (
    delete from series s
    where (%(studies)s::text[] is null or s.study_instance_uid = any(%(studies)s))
        and not exists (select from instance i where i.series_instance_uid = s.series_instance_uid)
    returning series_instance_uid)
insert into deleted (uid) select series_instance_uid from gone on conflict do nothing

-- name: forget_empty_studies
with gone as (
    delete from study t
    where (%(studies)s::text[] is null or t.study_instance_uid = any(%(studies)s))
        and not exists (select from series s where s.study_instance_uid = t.study_instance_uid)
    returning study_instance_uid)
insert into deleted (uid) select study_instance_uid from gone on conflict do nothing

-- name: gather_statistics
analyze study, series, instance, study_day, study_month, dataset_study, study_summary
