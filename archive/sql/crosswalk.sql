-- name: commit_identity
insert into crosswalk (pseudonym, kind, sealed)
select * from unnest(%(pseudonyms)s::text[], %(kinds)s::text[], %(sealed)s::bytea[])
on conflict (pseudonym) do nothing

-- name: find_identity
select 1 from crosswalk where pseudonym = %(pseudonym)s
