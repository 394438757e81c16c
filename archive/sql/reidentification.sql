-- name: find_sealed
-- By the pseudonymous UID of a study, series or instance; by that of a patient, the latest of his studies.
select crosswalk.pseudonym, crosswalk.kind, crosswalk.sealed
from crosswalk
where crosswalk.pseudonym = coalesce(
    (select pseudonym from crosswalk where pseudonym = %(pseudonym)s),
    (
        select study_instance_uid from study
        where patient_id = %(pseudonym)s
        order by study_date desc, study_instance_uid limit 1
    )
)

-- name: note_opening
insert into reidentification (opened_by, pseudonym, kind, reason, was_opened)
values (%(opened_by)s, %(pseudonym)s, %(kind)s, %(reason)s, %(was_opened)s)

-- name: openings
select number, opened_at, opened_by, pseudonym, kind, reason, was_opened from reidentification order by number

-- name: counts
select kind, count(*) from crosswalk group by kind order by kind

-- name: pseudonyms
select pseudonym, created_at from crosswalk where kind = 'study' order by created_at, pseudonym

-- name: find_all_sealed
select pseudonym, kind, sealed from crosswalk where pseudonym = any(%(pseudonyms)s)

-- name: note_openings
insert into reidentification (opened_by, pseudonym, kind, reason, was_opened)
select %(opened_by)s, pseudonym, kind, %(reason)s, was_opened
from unnest(%(pseudonyms)s::text[], %(kinds)s::text[], %(were_opened)s::boolean[]) as opened (pseudonym, kind, was_opened)
