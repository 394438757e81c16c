-- name: alone
select pg_try_advisory_lock(%(key)s)

-- name: leave
select pg_advisory_unlock(%(key)s)

-- name: under_way
select position, total, indexed from reindexing

-- name: list
create temporary table listed (number bigint generated always as identity, orthanc_id text collate "C") on commit drop

-- name: copy
copy listed (orthanc_id) from stdin

-- name: forget_list
delete from reindexing_instance

-- name: fill
insert into reindexing_instance (number, orthanc_id, sop_instance_uid, place)
select row_number() over (order by listed.number nulls first), orthanc_id, sop_instance_uid, place
from listed full join instance using (orthanc_id)

-- name: begin
insert into reindexing (total) select count(*) from reindexing_instance

-- name: next
select number, orthanc_id, sop_instance_uid, place from reindexing_instance
where number > %(after)s order by number limit %(limit)s

-- name: advance
update reindexing set position = %(position)s, indexed = indexed + %(indexed)s

-- name: others
-- Rows of these instances that say that they lie elsewhere.
select i.sop_instance_uid, i.place
from unnest(%(uids)s::text[], %(places)s::text[]) as found (uid, place) join instance i on i.sop_instance_uid = found.uid
where i.place <> found.place

-- name: end
delete from reindexing
