-- name: newest
-- The datasets of the catalogue that were published last, with the numbers that anybody may know.
select d.name, v.fields ->> 'title', v.fields ->> 'description', r.published_at,
    coalesce((h.published ->> 'individuals')::bigint, 0), coalesce((h.published ->> 'studies')::bigint, 0),
    array(select jsonb_object_keys(coalesce(h.published -> 'modalities', '{}')) modality order by modality)
from catalogue_record r join dataset d on d.number = r.dataset
    join record_version v on v.name = d.name and v.version = r.version left join holdings h on h.dataset = r.dataset
where r.published_at is not null and d.deleted_at is null and d.version = 0 and d.number > 0
order by r.published_at desc, d.name
limit %(limit)s

-- name: totals
-- How many datasets are published, and the studies that may be told of each, added up.
select count(*), coalesce(sum((h.published ->> 'studies')::bigint), 0)
from catalogue_record r join dataset d on d.number = r.dataset left join holdings h on h.dataset = r.dataset
where r.published_at is not null and d.deleted_at is null and d.version = 0 and d.number > 0

-- name: cases
-- A person's requests and permits: what is open, what is valid, and what was decided on lately.
select p.permit_id, case when p.state = 'granted' and p.valid_until <= now() then 'expired' else p.state end, p.review,
    coalesce(last.title, ''), p.requested_at, p.valid_until,
    array(select d.name || case when d.version > 0 then '@' || d.version else '' end
          from permit_dataset join dataset d on d.number = dataset where permit = p.number order by 1),
    p.actions
from permit p left join lateral (
    select title from application a where a.permit = p.number order by revision desc limit 1) last on true
where p.subject = %(subject)s and (
    p.state = 'requested' or p.state = 'granted' and (p.valid_until is null or p.valid_until > now())
    or coalesce(p.revoked_at, p.decided_at, p.valid_until) > now() - interval '30 days')
order by p.number desc
limit %(limit)s

-- name: waiting_cases
select p.permit_id, p.state, p.review, coalesce(last.title, ''), p.requested_at, p.valid_until,
    array(select d.name || case when d.version > 0 then '@' || d.version else '' end
          from permit_dataset join dataset d on d.number = dataset where permit = p.number order by 1),
    p.actions
from permit p left join lateral (
    select title from application a where a.permit = p.number order by revision desc limit 1) last on true
where p.state = 'requested'
order by p.requested_at
limit %(limit)s

-- name: jobs
select job_id, kind, dataset, state, submitted_at from job where subject = %(subject)s order by number desc limit %(limit)s

-- name: reading_room
-- Of the last seven days: exams that arrived, those that the person has not opened, those that models still read.
select count(*), count(*) filter (where not coalesce(has_bit(reader.studies, study.number), false)),
    count(*) filter (where exists (select from unnest(states) state where state like '%%:due'))
from study_summary study left join study_reader reader on reader.subject = %(subject)s
where not withheld and arrived_at >= now() - interval '7 days'

-- name: stewardship
select (select count(*) from permit where state = 'requested' and review = 'received'),
    (select count(*) from permit where state = 'requested'),
    (select count(*) from job where state = 'waiting'),
    (select count(*) from job where state = 'checked'),
    (select count(*) from catalogue_record r join dataset d on d.number = r.dataset
     where r.published_at is not null and d.deleted_at is null and r.findings <> '[]'),
    (select count(*) from dataset d left join catalogue_record r on r.dataset = d.number
     where d.deleted_at is null and d.version = 0 and d.number > 0 and r.published_at is null),
    (select count(*) from dataset where deleted_at is null and version = 0 and number > 0),
    (select count(*) from opt_out),
    (select count(*) from offered_run where state in ('waiting', 'running') and decision is null),
    (select count(*) from member where state = 'requested')
