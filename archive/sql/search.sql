-- {scope} is what the caller may see and {matches} what was asked for; both are conditions composed of constants, their
-- values being parameters. {beside} adds columns of the levels above. {start} and {offset} say where the page begins:
-- the number of rows before it, or that number after a day that `day_of_page` finds.

-- name: find_studies
{start} select study.dicom_json {beside}
from study
where {scope} and {matches}
order by study.study_date desc, study.study_instance_uid
limit %(limit)s offset {offset}

-- name: find_series
{start} select series.dicom_json {beside}
from series join study using (study_instance_uid)
where {scope} and {matches}
order by study.study_date desc, study.study_instance_uid, series.series_number, series.series_instance_uid
limit %(limit)s offset {offset}

-- name: find_instances
{start} select instance.dicom_json {beside}
from instance join series using (series_instance_uid) join study on study.study_instance_uid = instance.study_instance_uid
where {scope} and {matches}
order by
    study.study_date desc, study.study_instance_uid, series.series_number, series.series_instance_uid,
    instance.instance_number, instance.sop_instance_uid
limit %(limit)s offset {offset}

-- name: day_of_page
with day as (
    select study_date, {counted} as here, sum({counted}) over (order by study_date desc) as reached
    from study_day
    where modality = {modality} and {days}
), begins as (
    select study_date, %(offset)s - (reached - here) as skipped
    from day where reached > %(offset)s order by study_date desc limit 1
)

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
select instance.metadata
from instance join study using (study_instance_uid)
where {scope} and {matches}
order by instance.series_instance_uid, instance.instance_number, instance.sop_instance_uid

-- name: index_position
select sequence from follow_position
