-- name: offer
insert into offered_run (run, hub, manifest, signature, state)
values (%(run)s, %(hub)s, %(manifest)s, %(signature)s, %(state)s)
on conflict (run) do update set state = excluded.state
where offered_run.manifest = excluded.manifest and offered_run.hub = excluded.hub

-- name: columns
run, hub, manifest, signature, sha256, state, seen_at, decision, most_epsilon, decided_at, decided_by, told,
    (select count(*) from site_round where site_round.run = offered_run.run)

-- name: find
select {columns} from offered_run where run = %(run)s

-- name: latest
select {columns} from offered_run order by seen_at desc, run limit %(limit)s

-- name: open
select {columns} from offered_run where hub = %(hub)s and state in ('waiting', 'running') order by seen_at, run

-- name: decide
update offered_run set decision = %(decision)s, most_epsilon = %(most_epsilon)s, decided_at = now(), decided_by = %(by)s
where run = %(run)s

-- name: tell
update offered_run set told = %(decision)s where run = %(run)s

-- name: close_others
update offered_run set state = 'stopped'
where hub = %(hub)s and state in ('waiting', 'running') and not run = any(%(runs)s)

-- name: add_policy
insert into run_policy (kinds, tasks, datasets, purposes, most_rounds, most_epsilon, valid_until, created_by)
values (%(kinds)s, %(tasks)s, %(datasets)s, %(purposes)s, %(most_rounds)s, %(most_epsilon)s, %(valid_until)s, %(by)s)
returning number

-- name: policies
select number, kinds, tasks, datasets, purposes, most_rounds, most_epsilon, valid_until, created_at, created_by,
    withdrawn_at, withdrawn_by
from run_policy where not %(valid)s or (withdrawn_at is null and valid_until > now())
order by number

-- name: withdraw_policy
update run_policy set withdrawn_at = now(), withdrawn_by = %(by)s where number = %(number)s and withdrawn_at is null

-- name: last_statement
select statement from site_round
where run = %(run)s and round < %(round)s
order by round desc limit 1

-- name: keep_statement
insert into site_round (run, round, statement, signature)
values (%(run)s, %(round)s, %(statement)s, %(signature)s)
on conflict (run, round) do update set
    statement = excluded.statement, signature = excluded.signature, at = excluded.at,
    answers = site_round.answers + 1

-- name: answers
select answers from site_round where run = %(run)s and round = %(round)s

-- name: use
insert into training_use (patient_id, model, version, run)
select unnest(%(patients)s::text[]), %(model)s, %(version)s, %(run)s
on conflict do nothing

-- name: spend
insert into privacy_spent (part, dataset, run, round, noise_multiplier, sample_rate, steps, delta)
values (%(part)s, %(dataset)s, %(run)s, %(round)s, %(noise_multiplier)s, %(sample_rate)s, %(steps)s, %(delta)s)
on conflict (part) do nothing

-- name: spent
select part, dataset, run, round, noise_multiplier, sample_rate, steps, delta from privacy_spent
where %(dataset)s::text is null or dataset = %(dataset)s
order by number

-- name: is_opted_out
-- Who opts out may be known by the pseudonym of a Patient ID without an issuer.
select exists (select from unnest(%(patients)s::text[]) patient where has_opted_out(patient))
