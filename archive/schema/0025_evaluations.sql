-- How packages did on what sites hold out, at the hub; and at a site, of whom it told figures.

create table evaluation (
    run        text collate "C" not null references run,
    package    text collate "C" not null,          -- SHA-256 of the passport's text
    task       text collate "C" not null,
    dataset    text collate "C" not null,
    model      jsonb not null,                     -- name, version, title, what it was trained on
    releases   jsonb not null,                     -- by site: what it told, as text
    joined     jsonb not null,                     -- the figures of all together, of sites and of groups
    at         timestamptz not null default now(),
    primary key (run, package)
);
create index evaluation_by_task on evaluation (task, dataset, package, at desc);

-- Figures of two sets of patients that differ in few tell of those few: so none are told of the second.
create table evaluated_cohort (
    package  text collate "C" not null,
    patients bytea[] not null,                     -- keyed hashes of their pseudonyms, sorted
    told_at  timestamptz not null default now(),
    primary key (package, patients)
);

-- Runs that people asked for on the hub's pages; the conductor proposes them, or says why it can't be.
create table run_request (
    number   integer generated always as identity primary key,
    terms    jsonb not null,
    asked_at timestamptz not null default now(),
    asked_by text not null,
    run      text collate "C" references run,      -- that came of it
    refusal  text not null default ''
);
create index run_request_due on run_request (number) where run is null and refusal = '';

create function tell_run_request() returns trigger language plpgsql as $$
begin
    perform pg_notify('senogate_runs', coalesce(new.run, ''));
    return null;
end
$$;
create trigger run_request_is_told after insert or update on run_request
for each row execute function tell_run_request();
