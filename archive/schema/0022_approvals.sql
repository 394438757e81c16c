-- What a site has agreed to: the runs that its hub offers, what was said to each, the policies that say it beforehand;
-- and what the site has done in each round.

create table offered_run (
    run          text collate "C" primary key,
    hub          text collate "C" not null,
    manifest     bytea not null,                -- the text that the hub signed; it never changes
    signature    bytea not null,                -- the hub's, over it
    sha256       text collate "C" not null generated always as (encode(sha256(manifest), 'hex')) stored,
    state        text not null,                 -- as the hub says
    seen_at      timestamptz not null default now(),
    decision     text check (decision in ('approved', 'refused')),   -- the steward's; null: policies decide
    most_epsilon double precision,              -- that a dataset may have spent for this approval to hold
    decided_at   timestamptz,
    decided_by   text,
    told         text                           -- what the hub was told last
);
create index offered_run_by_time on offered_run (seen_at);

-- Policies that were withdrawn stay, for what was done under them.
create table run_policy (
    number       integer generated always as identity primary key,
    kinds        text[] not null,
    tasks        text[] not null,
    datasets     text[] not null,               -- names, as permits have them
    purposes     text[] not null,
    most_rounds  integer not null check (most_rounds > 0),
    most_epsilon double precision check (most_epsilon > 0),   -- null: runs without privacy, too
    valid_until  timestamptz not null,
    created_at   timestamptz not null default now(),
    created_by   text not null,
    withdrawn_at timestamptz,
    withdrawn_by text
);

-- The site's part in a round: what it said and signed. A round that is done again after a fault has its last part here.
create table site_round (
    run       text collate "C" not null references offered_run,
    round     integer not null,
    statement bytea not null,
    signature text not null,
    at        timestamptz not null default now(),
    primary key (run, round)
);

-- What differentially private training has taken from each dataset. A round that is done again in the same way comes out
-- the same, and takes nothing anew.
create table privacy_spent (
    number           bigint generated always as identity primary key,
    part             text collate "C" not null unique,   -- the hash of all that it came from
    dataset          text collate "C" not null,  -- its name, whatever the version
    run              text collate "C" not null references offered_run,
    round            integer not null,
    noise_multiplier double precision not null,
    sample_rate      double precision not null,
    steps            integer not null,
    delta            double precision not null,
    at               timestamptz not null default now()
);
create index privacy_spent_by_dataset on privacy_spent (dataset, run);
