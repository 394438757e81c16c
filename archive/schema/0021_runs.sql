-- What sites train or evaluate together, as the hub keeps it: the signed manifests, what each site said to them, and
-- the figures of their rounds.

create table run (
    run         text collate "C" primary key,
    manifest    bytea not null,                    -- the text that is hashed, signed and approved
    signature   bytea not null,                    -- the hub's, over it
    sha256      text collate "C" not null generated always as (encode(sha256(manifest), 'hex')) stored,
    state       text not null default 'waiting' check (
        state in ('waiting', 'running', 'done', 'failed', 'stopped')),
    flower_run  numeric(20),                       -- Flower's number of it, the last time that it was submitted
    submissions integer not null default 0,        -- how many times that was
    round       integer not null default 0,        -- the last that is complete
    message     text not null default '',          -- what it waits for, or why it ended
    created_at  timestamptz not null default now(),
    created_by  text not null,
    started_at  timestamptz,
    ended_at    timestamptz
);
create index run_open on run (created_at) where state in ('waiting', 'running');

create table run_answer (
    run       text collate "C" not null references run,
    member    text collate "C" not null,
    decision  text not null check (decision in ('approved', 'refused')),
    answer    bytea not null,                      -- the text that the site signed
    signature bytea not null,
    at        timestamptz not null default now(),
    primary key (run, member)
);

create table run_round (
    run     text collate "C" not null references run,
    round   integer not null,
    at      timestamptz not null default now(),
    figures jsonb not null,                        -- of all sites together
    sites   jsonb not null,                        -- by the name of each: its figures, or why it has none
    primary key (run, round)
);

create function tell_run() returns trigger language plpgsql as $$
begin
    perform pg_notify('senogate_runs', new.run);
    return null;
end
$$;
create trigger run_is_told after insert or update on run for each row execute function tell_run();
create trigger answer_is_told after insert or update on run_answer for each row execute function tell_run();
create trigger round_is_told after insert or update on run_round for each row execute function tell_run();
