-- name: move_alone
select pg_try_advisory_lock(%(key)s)

-- name: page
-- Studies in the order in which they came, of those that came so many days ago.
select study_instance_uid, arrived_at from study_summary
where not withheld and (arrived_at, study_instance_uid) > (%(after)s, %(study)s)
    and arrived_at <= now() - make_interval(days => %(days)s)
order by arrived_at, study_instance_uid limit %(limit)s

-- name: busy
-- Those of the studies that somebody is about to read.
select study_instance_uid from study t
where study_instance_uid = any(%(studies)s) and (
    exists (select from unsettled u where u.study_instance_uid = t.study_instance_uid)
    or exists (select from quality_due q where q.study_instance_uid = t.study_instance_uid)
    or exists (select from reading r where r.study_instance_uid = t.study_instance_uid and r.state = 'due'))

-- name: choose
insert into moved (place, sop_instance_uid, orthanc_id, size)
select i.place, i.sop_instance_uid, i.orthanc_id, i.size
from instance i join study t using (study_instance_uid)
where t.study_instance_uid = any(%(studies)s) and not t.withheld and i.size < %(most)s
on conflict do nothing

-- name: to_be_put
select place from moved
where moved_at is null and gone_at is null and (tried_at is null or tried_at < now() - interval '1 hour')
limit %(limit)s

-- name: hold_to_put
select place from moved where place = %(place)s and moved_at is null and gone_at is null for update skip locked

-- name: put
update moved set moved_at = now(), removed_at = null, tried_at = null, written_at = %(written_at)s, size = %(size)s
where place = %(place)s

-- name: not_put
update moved set tried_at = now() where place = %(place)s

-- name: gone
select place from moved where gone_at is not null order by gone_at limit %(limit)s

-- name: hold_gone
select place from moved where place = %(place)s and gone_at is not null for update skip locked

-- name: hold_of_instances
-- And of whatever else Orthanc has no longer, which may be what was removed before.
select place from moved where orthanc_id = any(%(instances)s) or gone_at is not null order by place for update

-- name: forget
delete from moved where place = %(place)s

-- name: written_at
select written_at from moved where place = %(place)s and moved_at is not null and gone_at is null

-- name: unindexed
-- What the index does not know: Orthanc is asked whether it has it.
select place, orthanc_id from moved m
where gone_at is null and not exists (
    select from instance i where i.sop_instance_uid = m.sop_instance_uid and i.place = m.place)

-- name: note_gone
update moved set gone_at = now() where place = any(%(places)s) and gone_at is null

-- name: known
select place from moved where place = any(%(places)s) and moved_at is not null and gone_at is null

-- name: to_be_removed
select place, size from moved
where moved_at is not null and removed_at is null and gone_at is null order by moved_at limit %(limit)s

-- name: removed
update moved set removed_at = now() where place = any(%(places)s)

-- name: put_anew
-- What a restore brought back is put into the bucket once more, whatever lies there.
update moved set moved_at = null, removed_at = null, tried_at = null
where gone_at is null and (%(places)s::text[] is null or place = any(%(places)s))

-- name: count
select count(*) filter (where removed_at is not null), coalesce(sum(size) filter (where removed_at is not null), 0),
    count(*) filter (where tried_at is not null and moved_at is null and gone_at is null),
    count(*) filter (where gone_at < now() - interval '1 hour')
from moved

-- name: in_bucket
select count(*) from moved where moved_at is not null and gone_at is null
