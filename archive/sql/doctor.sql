-- name: server
-- What PostgreSQL tells of itself: its version and name, its time, its connections, damage it noticed, and how near it is to
-- the end of its transaction numbers.
select current_setting('server_version_num')::integer, current_setting('server_version'), clock_timestamp(),
    current_setting('max_connections')::integer, (select count(*) from pg_stat_activity where backend_type = 'client backend'),
    (select coalesce(sum(checksum_failures), 0)::bigint from pg_stat_database),
    (select age(datfrozenxid) from pg_database where datname = current_database()), pg_is_in_recovery(),
    current_setting('fsync')::boolean and current_setting('full_page_writes')::boolean

-- name: newest
-- An instance of the study that came last.
select study_instance_uid, series_instance_uid, sop_instance_uid, place, size, transfer_syntax_uid, number_of_frames,
    pixel_offset, pixel_length
from instance where study_instance_uid =
    (select study_instance_uid from study_summary where not withheld order by arrived_at desc, study_instance_uid desc limit 1)
limit 1

-- name: noted
-- When the audit trail was written last: the moment of its newest record.
select (content::jsonb ->> 'time')::timestamptz from audit order by number desc limit 1

-- name: spooled
-- Held instances whose files have to lie in the spool.
select id::text from spool where state in ('waiting', 'cleaning', 'quarantined') order by received_at limit 10000
