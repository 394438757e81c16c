-- {scope} is what the caller may see and {matches} what was asked for; both are conditions composed of constants, their
-- values being parameters. A row is its answer and the study that it tells of; {beside} adds columns of the levels above.
-- {start} and {offset} say where the page begins: the number of rows before it, or after the beginning of the study that
-- `begin_of_page` finds. {among} joins the datasets that a search begins with, and {first} is then their name, which
-- gives the order.

-- name: find_studies
{start} select study.dicom_json, study.study_instance_uid {beside}
from study {among}
where {scope} and {matches}
order by {first}.study_date desc, {first}.study_instance_uid desc
limit %(limit)s offset {offset}

-- name: find_series
{start} select series.dicom_json, study.study_instance_uid {beside}
from series join study on study.study_instance_uid = series.study_instance_uid {among}
where {scope} and {matches}
order by {first}.study_date desc, {first}.study_instance_uid desc, series.series_number, series.series_instance_uid
limit %(limit)s offset {offset}

-- name: find_instances
{start} select instance.dicom_json, study.study_instance_uid {beside}
from instance join series using (series_instance_uid) join study on study.study_instance_uid = instance.study_instance_uid {among}
where {scope} and {matches}
order by
    {first}.study_date desc, {first}.study_instance_uid desc, series.series_number, series.series_instance_uid,
    instance.instance_number, instance.sop_instance_uid
limit %(limit)s offset {offset}

-- name: month_of_page
months as (
    select month, {count} as here, sum({count}) over (order by month desc) as reached
    from study_month
    where modality = {modality}
), month as (
    select month, %(offset)s - (reached - here) as skipped
    from months where reached > %(offset)s order by month desc limit 1
),

-- name: days_of_month
study_date >= (select month from month) and study_date <= (select month || '~' from month)
    and left(study_date, 6) = (select month from month)

-- name: begin_of_page
with {month} days as (
    select study_date, {count} as here, sum({count}) over (order by study_date desc) as reached
    from study_day
    where modality = {modality} and {dates}
), day as (
    select study_date, {offset} - (reached - here) as skipped
    from days where reached > {offset} order by study_date desc limit 1
), studies as (
    select study_instance_uid, {here} as here, sum({here}) over (order by study_instance_uid desc) as reached
    from study
    where study_date = (select study_date from day) and not withheld and {matches}
), begin as (
    select study_instance_uid, (select skipped from day) - (reached - here) as skipped
    from studies where reached > (select skipped from day) order by study_instance_uid desc limit 1
)

-- name: month_among
months as (
    select month, sum(bit_count({members}) << {weight}) as here
    from seen {numbered}
    where true {level}
    group by month
), reached as (
    select month, here, sum(here) over (order by month desc) as reached from months
), month as (
    select month, %(offset)s - (reached - here) as skipped
    from reached where reached > %(offset)s order by month desc limit 1
),

-- name: begin_among
with seen as materialized (
    select month, chunk, bit_or(members) as members from dataset_month where dataset = any({numbers}) group by month, chunk
), {month} days as (
    select study_date, sum(bit_count({members} & day_places.members) << {weight}) as here
    from seen join day_places using (month, chunk) {numbered}
    where {dates} {level}
    group by study_date
), reached_days as (
    select study_date, here, sum(here) over (order by study_date desc) as reached from days
), day as (
    select study_date, {offset} - (reached - here) as skipped
    from reached_days where reached > {offset} order by study_date desc limit 1
), studies as (
    select study_instance_uid, {here} as here, sum({here}) over (order by study_instance_uid desc) as reached
    from study
    where study_date = (select study_date from day) and {scope}
)
select (select study_date from day), study_instance_uid, ((select skipped from day) - (reached - here))::bigint
from studies where reached > (select skipped from day) order by study_instance_uid desc limit 1

-- name: places
select instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid, instance.place,
    instance.size, instance.transfer_syntax_uid, instance.number_of_frames, instance.pixel_offset, instance.pixel_length
from instance join study using (study_instance_uid)
where {scope} and {matches}
order by instance.series_instance_uid, instance.instance_number, instance.sop_instance_uid

-- name: place_and_metadata
select instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid, instance.place,
    instance.size, instance.transfer_syntax_uid, instance.number_of_frames, instance.pixel_offset, instance.pixel_length,
    instance.metadata
from instance join study using (study_instance_uid)
where {scope} and {matches}

-- name: metadata
select array_agg(state), array_agg(metadata)
from (
    select instance.sop_instance_uid || ' ' || instance.place as state, instance.metadata
    from instance join study using (study_instance_uid)
    where {scope} and {matches}
    order by instance.series_instance_uid, instance.instance_number, instance.sop_instance_uid
) found
having count(*) > 0

-- name: is_deleted
select exists (select from deleted where uid = %(uid)s)

-- name: shows
select exists (select from study where study_instance_uid = %(study)s and {scope})

-- name: withheld_among
select study_instance_uid from study where study_instance_uid = any(%(studies)s) and withheld
