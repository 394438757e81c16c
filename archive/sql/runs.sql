-- name: add
insert into run (run, manifest, signature, created_by) values (%(run)s, %(manifest)s, %(signature)s, %(by)s)

-- name: columns
-- Those of a Run in their order, for the statements below.
run, manifest, signature, sha256, state, flower_run, submissions, round, message, created_at, created_by, started_at,
ended_at

-- name: find
select {columns} from run where run = %(run)s

-- name: open
select {columns} from run where state in ('waiting', 'running') order by created_at, run

-- name: latest
select {columns} from run order by created_at desc, run limit %(limit)s

-- name: answers
select member, decision, answer, signature, at from run_answer where run = %(run)s order by member

-- name: own_answers
select run, decision from run_answer where member = %(member)s

-- name: answer
insert into run_answer (run, member, decision, answer, signature)
select run, %(member)s, %(decision)s, %(answer)s, %(signature)s
from run where run = %(run)s and state in ('waiting', 'running')
on conflict (run, member) do update set
    decision = excluded.decision, answer = excluded.answer, signature = excluded.signature, at = now()

-- name: submitted
update run set
    state = 'running', flower_run = %(flower_run)s, submissions = submissions + 1, message = '',
    started_at = coalesce(started_at, now())
where run = %(run)s and state in ('waiting', 'running')

-- name: say
update run set message = %(message)s where run = %(run)s and message <> %(message)s

-- name: end
update run set state = %(state)s, message = %(message)s, ended_at = now()
where run = %(run)s and state in ('waiting', 'running')

-- name: round
insert into run_round (run, round, figures, sites) values (%(run)s, %(round)s, %(figures)s, %(sites)s)
on conflict (run, round) do update set figures = excluded.figures, sites = excluded.sites, at = now()

-- name: advance
update run set round = %(round)s where run = %(run)s and round < %(round)s

-- name: rounds
select round, at, figures, sites from run_round where run = %(run)s order by round

-- name: long_ended
-- Of these runs those that ended so many days ago.
select run from run where run = any(%(runs)s) and ended_at < now() - make_interval(days => %(days)s)
