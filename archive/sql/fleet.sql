-- name: allowed
-- Whether a member takes part in the run that Flower has under a number: null where it has none under it. What a
-- membership before its own said under the same name counts for nothing.
select coalesce(run.state = 'running' and run_answer.decision = 'approved', false)
from run left join run_answer on run_answer.run = run.run and run_answer.member = %(member)s
    and run_answer.at >= %(since)s
where run.flower_run = %(flower_run)s

-- name: polled
insert into fleet_poll (member, polls) values (%(member)s, 1)
on conflict (member) do update set polls = fleet_poll.polls + 1, polled_at = now()

-- name: polls
select member, polls from fleet_poll
