-- name: exams
select count(*) filter (where arrived_at >= date_trunc('day', now())), count(*)
from study_summary where not withheld and arrived_at >= now() - interval '7 days'

-- name: held
-- How many wait to be cleaned and for a person, and since when the oldest of each.
select count(*) filter (where state <> 'quarantined'), min(received_at) filter (where state <> 'quarantined'),
    count(*) filter (where state = 'quarantined'), min(received_at) filter (where state = 'quarantined')
from spool where state in ('waiting', 'cleaning', 'quarantined')

-- name: index
select followed_at, (select count(*) from unindexed) from follow_position

-- name: readings
select (select count(*) from reading where state = 'due'),
    (select changed_at from reading where state = 'due' order by changed_at limit 1),
    (select count(*) from reading where state = 'failed' and not shadow)

-- name: deliveries
select (select count(*) from delivery where next_try is not null),
    (select min(wanted_at) from delivery where next_try is not null),
    (select count(*) from delivery where state = 'refused')

-- name: webhooks
select count(*), coalesce(array_agg(name order by name) filter (where failures > 0), '{}') from webhook

-- name: requests
select (select count(*) from permit where state = 'requested'), (select count(*) from erasure where completed_at is null)

-- name: audit
select (select number from audit order by number desc limit 1),
    (select signed_at::timestamptz from audit_checkpoint order by position desc limit 1),
    (select at from milestone where name = 'audit-verified'),
    (select (detail ->> 'faults')::bigint from milestone where name = 'audit-verified')

-- name: database
select pg_database_size(current_database())

-- name: backup
select at from milestone where name = 'backup'

-- name: members
select count(*) filter (where state = 'active'), count(*) filter (where state = 'requested') from member

-- name: offered
-- Open runs, and those of them that nobody has decided on.
select count(*), count(*) filter (where decision is null) from offered_run where state in ('waiting', 'running')

-- name: jobs
select count(*) filter (where state = 'waiting'), count(*) filter (where state = 'checked'),
    count(*) filter (where state in ('due', 'running'))
from job where state in ('waiting', 'checked', 'due', 'running')

-- name: catalogue
select count(*), count(*) filter (where r.findings <> '[]')
from catalogue_record r join dataset d on d.number = r.dataset where r.published_at is not null and d.deleted_at is null

-- name: keeper
select at from milestone where name = 'keeper'

-- name: alive
select at from milestone where name = %(name)s and at between now() - make_interval(secs => %(age)s) and now() + interval '1 minute'

-- name: note
insert into milestone (name, detail) values (%(name)s, %(detail)s)
on conflict (name) do update set at = now(), detail = excluded.detail
