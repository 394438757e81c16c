-- name: commit_identity
with added as (
    insert into crosswalk (pseudonym, kind, sealed, study_instance_uid, patient_id)
    select * from unnest(
        %(pseudonyms)s::text[], %(kinds)s::text[], %(sealed)s::bytea[], %(studies)s::text[], %(patients)s::text[])
    on conflict (pseudonym) do nothing
), named as (
    insert into patient_alias select * from unnest(%(aliases)s::text[], %(aliased)s::text[])
    on conflict do nothing)
select count(*) from crosswalk where pseudonym = any(%(known)s::text[])

-- name: find_identity
select 1 from crosswalk where pseudonym = %(pseudonym)s

-- name: sealed
select pseudonym, sealed from crosswalk where pseudonym > %(after)s order by pseudonym limit %(limit)s

-- name: reseal
update crosswalk set sealed = %(sealed)s where pseudonym = %(pseudonym)s
