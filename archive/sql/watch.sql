-- name: site
-- What is measured of the site beside its state; of tables that grow for ever the planner's estimate, which costs nothing.
select
    (select sequence from follow_position) as followed,
    (select extract(epoch from followed_at) from follow_position) as followed_at,
    (select extract(epoch from min(received_at)) from spool where state in ('waiting', 'cleaning')) as spool_since,
    (select extract(epoch from changed_at) from reading where state = 'due' order by changed_at limit 1) as readings_since,
    (select extract(epoch from min(wanted_at)) from delivery where next_try is not null) as deliveries_since,
    (select count(*) from pg_stat_activity where datname = current_database()) as database_sessions,
    (select setting::int from pg_settings where name = 'max_connections') as database_sessions_most,
    (select greatest(reltuples, 0)::bigint from pg_class where oid = 'study'::regclass) as studies,
    (select greatest(reltuples, 0)::bigint from pg_class where oid = 'series'::regclass) as series,
    (select greatest(reltuples, 0)::bigint from pg_class where oid = 'instance'::regclass) as instances

-- name: federation
-- Of a hub: what of its runs is done, and by the numbers of its members when each was heard of last, or was let in.
select
    (select count(*) from run_round) as rounds_complete,
    (select coalesce(sum(greatest(submissions - 1, 0)), 0) from run) as run_restarts,
    (select json_object_agg(number, extract(epoch from coalesce(polled_at, approved_at, requested_at)))
     from member left join fleet_poll on fleet_poll.member = member.name
        and polled_at >= coalesce(approved_at, requested_at)
     where state = 'active') as members

-- name: trace_readings
-- Of which traces the readings are that are due of these studies.
update reading set trace = given.trace
from unnest(%(studies)s::text[], %(traces)s::text[]) as given (study_instance_uid, trace)
where reading.study_instance_uid = given.study_instance_uid and state = 'due'
