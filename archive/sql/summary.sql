-- {scope} is what the caller may see, {matches} what was asked for: conditions composed of constants, their values being
-- parameters. {among} joins the datasets that a page begins with, {order} is its order.

-- name: list_studies
with page as materialized (
    select listed.*, study.study_time, study.patient_id, study.study_description
    from study_summary listed join study using (study_instance_uid) {among}
    where {scope} and not listed.withheld and {matches}
    order by {order}
    limit %(limit)s
)
select
    now.snapshot, page.study_instance_uid, page.patient_id, page.study_date, page.study_time, page.study_description,
    page.modalities, page.number_of_images, page.density, page.score, page.risk, page.quality, page.phantoms,
    page.arrived_at, coalesce(mark.is_read, false),
    exists (select from unsettled u where u.study_instance_uid = page.study_instance_uid),
    picture.series_instance_uid, picture.sop_instance_uid,
    array(
        select json_build_object(
            'task', task, 'modality', modality, 'state', state, 'reason', coalesce(reason, ''),
            'model', coalesce(model, ''), 'is_begun', attempts > 0)
        from reading
        where reading.study_instance_uid = page.study_instance_uid and not shadow
        order by task, modality)
from (select pg_current_snapshot()::text as snapshot) now
    left join (
        page
        left join instance picture on picture.sop_instance_uid = page.picture
        left join study_mark mark
            on mark.subject = %(subject)s and mark.study_instance_uid = page.study_instance_uid) on true
order by {page_order}

-- name: count_arrived
select count(*)
from (
    select from study_summary listed join study using (study_instance_uid)
    where {scope} and not listed.withheld and {matches}
        and listed.arrived_in >= pg_snapshot_xmin(%(since)s::pg_snapshot)
        and not pg_visible_in_snapshot(listed.arrived_in, %(since)s::pg_snapshot)
        and pg_visible_in_snapshot(listed.arrived_in, pg_current_snapshot())
    limit %(limit)s) arrived

-- name: seen_among
select study_instance_uid from study where study_instance_uid = any(%(studies)s) and {scope}

-- name: mark
with seen as (
    select study_instance_uid from study where study_instance_uid = %(study)s and {scope}
), marked as (
    insert into study_mark (subject, study_instance_uid, is_read)
    select %(subject)s, study_instance_uid, %(is_read)s from seen
    on conflict (subject, study_instance_uid) do update set is_read = excluded.is_read, changed_at = now()
    where study_mark.is_read <> excluded.is_read
)
select exists (select from seen)
