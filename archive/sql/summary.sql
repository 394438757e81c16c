-- {scope} is what the caller may see, {matches} what was asked for: conditions on study_summary, by the name study, composed
-- of constants, their values being parameters. {among} joins the datasets that a page begins with, {order} is its order.

-- name: list_studies
-- Which studies are on the page is told by an index alone, all else is looked up for them.
with page as materialized (
    select study.study_instance_uid
    from study_summary study {among}
    where {scope} and {matches}
    order by {order}
    limit %(limit)s
)
select
    now.snapshot, study.study_instance_uid, study.patient_id, study.study_date, whole.study_time,
    whole.study_description, study.modalities, study.number_of_images, study.density, study.score, study.risk,
    study.quality, study.phantoms, study.arrived_at,
    coalesce(has_bit((select studies from study_reader where subject = %(subject)s), study.number), false),
    exists (select from unsettled u where u.study_instance_uid = study.study_instance_uid),
    picture.series_instance_uid, picture.sop_instance_uid,
    array(
        select json_build_object(
            'task', task, 'modality', modality, 'state', state, 'reason', coalesce(reason, ''),
            'model', coalesce(model, ''), 'is_begun', attempts > 0)
        from reading
        where reading.study_instance_uid = study.study_instance_uid and not shadow
        order by task, modality)
from (select pg_current_snapshot()::text as snapshot) now
    left join (
        page
        join study_summary study using (study_instance_uid)
        join study whole using (study_instance_uid)
        left join instance picture on picture.sop_instance_uid = study.picture) on true
order by {page_order}

-- name: count_arrived
select count(*)
from (
    select from study_summary study
    where {scope} and {matches}
        and study.arrived_in >= pg_snapshot_xmin(%(since)s::pg_snapshot)
        and not pg_visible_in_snapshot(study.arrived_in, %(since)s::pg_snapshot)
        and pg_visible_in_snapshot(study.arrived_in, pg_current_snapshot())
    limit %(limit)s) arrived

-- name: count_read
select bit_count(studies) from study_reader where subject = %(subject)s

-- name: seen_among
select study_instance_uid from study_summary study where study_instance_uid = any(%(studies)s) and {scope}

-- name: mark
with seen as (
    select study_instance_uid, number from study_summary study where study_instance_uid = %(study)s and {scope}
), marked as (
    insert into study_reader (subject, studies)
    select %(subject)s, turn_bit('', number, %(is_read)s) from seen
    on conflict (subject) do update set
        studies = turn_bit(study_reader.studies, (select number from seen), %(is_read)s)
    where has_bit(study_reader.studies, (select number from seen)) <> %(is_read)s
    returning subject
)
select study_instance_uid, (select pg_notify('senogate_studies', study_instance_uid || ' ' || subject) from marked) from seen
