-- name: ask
insert into run_request (terms, asked_by) values (%(terms)s, %(by)s) returning number

-- name: due
select number, terms, asked_at, asked_by, run, refusal from run_request
where run is null and refusal = '' order by number

-- name: latest
-- Those that no run came of, yet or at all.
select number, terms, asked_at, asked_by, run, refusal from run_request
where run is null order by number desc limit 5

-- name: end
update run_request set run = %(run)s, refusal = %(refusal)s where number = %(number)s
