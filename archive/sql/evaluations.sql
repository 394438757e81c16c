-- name: add
insert into evaluation (run, package, task, dataset, model, releases, joined)
values (%(run)s, %(package)s, %(task)s, %(dataset)s, %(model)s, %(releases)s, %(joined)s)
on conflict (run, package) do update set
    task = excluded.task, dataset = excluded.dataset, model = excluded.model,
    releases = excluded.releases, joined = excluded.joined, at = now()

-- name: of_run
select run, package, task, dataset, model, joined, at from evaluation where run = %(run)s order by at, package

-- name: boards
-- Which tasks and datasets anything was evaluated on.
select distinct task, dataset from evaluation order by task, dataset

-- name: board
-- The newest evaluation of each package.
select distinct on (package) run, package, task, dataset, model, joined, at from evaluation
where task = %(task)s and dataset = %(dataset)s order by package, at desc

-- name: cohorts
select patients from evaluated_cohort where package = %(package)s

-- name: keep_cohort
insert into evaluated_cohort (package, patients)
select %(package)s, %(patients)s
where not exists (select from evaluated_cohort where package = %(package)s and patients = %(patients)s)
