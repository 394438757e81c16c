-- name: add
insert into provenance (run, number, round, sha256, previous, weights, content, signature)
values (%(run)s, %(number)s, %(round)s, %(sha256)s, %(previous)s, %(weights)s, %(content)s, %(signature)s)
on conflict (sha256) do nothing

-- name: columns
-- Those of a Kept in their order, for the statements below.
run, number, round, sha256, previous, weights, content, signature

-- name: begun
select {columns} from provenance where run = %(run)s and number = 0

-- name: parent
-- The entry with which a round ended that left these weights, the one of last where it was done several times.
select {columns} from provenance
where run = %(run)s and round = %(round)s and weights in (%(weights)s, '')
order by position desc limit 1

-- name: ended
select {columns} from provenance where run = %(run)s and round is null order by position desc limit 1

-- name: latest
select {columns} from provenance where run = %(run)s order by position desc limit 1

-- name: path
-- The entry and those that it hangs on, from the first on.
with recursive path as (
    select provenance.* from provenance where sha256 = %(sha256)s
    union all
    select provenance.* from provenance join path on provenance.sha256 = path.previous
)
select {columns} from path order by number

-- name: register
insert into federation_model (name, version, task, run, passport, network, record, weights, signed_by)
values (%(name)s, %(version)s, %(task)s, %(run)s, %(passport)s, %(network)s, %(record)s, %(weights)s, %(signed_by)s)
on conflict (name, version) do nothing

-- name: models
select name, version, task, run, passport, network, record, weights, signed_by, registered_at
from federation_model
where (%(name)s::text is null or name = %(name)s) and (%(version)s::text is null or version = %(version)s)
order by registered_at desc, name, version

-- name: studies
-- Those that the site has of patients by their pseudonyms, and those that it had before it erased the patients.
select study from unnest(%(patients)s::text[]) patient, unnest(studies_of_patient(patient)) study
union
select unnest(studies) from erasure where kind = 'patient' and pseudonyms && %(patients)s::text[]
order by 1

-- name: trace
insert into dataset_trace (key, body) values (%(key)s, %(body)s) on conflict (key) do nothing

-- name: traces
select number, at, body, attempts, delivered_at, refused, ids, failure
from dataset_trace order by number desc limit %(limit)s

-- name: trace_alone
select pg_try_advisory_lock(%(key)s)

-- name: trace_due
-- The first that waits holds up those behind it: a dataset is not used before it was created.
select number, at, body, attempts, delivered_at, refused, ids, failure
from (
    select * from dataset_trace where delivered_at is null and not refused order by number limit 1) first
where next_try <= now() or next_try > now() + interval '2 hours'

-- name: trace_delivered
update dataset_trace set delivered_at = now(), ids = %(ids)s, failure = '', attempts = attempts + 1
where number = %(number)s

-- name: trace_failed
update dataset_trace set
    attempts = attempts + 1, failure = %(failure)s, refused = %(refused)s,
    next_try = now() + make_interval(secs => least(%(longest)s, %(first)s * 2.0 ^ least(attempts, 30)))
where number = %(number)s
