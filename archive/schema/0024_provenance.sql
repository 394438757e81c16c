-- What the hub has put on record of its runs, entry by entry, each hanging on the hash of the one before; the models that
-- came of runs; and what is still to be told to a tracing service.

create table provenance (
    position  bigint generated always as identity primary key,
    run       text collate "C" not null,
    number    integer not null check (number >= 0),    -- its place in the record of the run
    round     integer check (round >= 0),              -- that it is of; 0: the beginning, null: the end
    sha256    text collate "C" not null unique,
    previous  text collate "C" not null,               -- the entry that it hangs on
    weights   text collate "C" not null,               -- that training goes on from here with; '': none
    content   text collate "C" not null,               -- the text that is hashed and signed
    signature text collate "C" not null,               -- the hub's, in base64
    at        timestamptz not null default now(),
    check (sha256 = encode(sha256(convert_to(content, 'UTF8')), 'hex'))
);
create index provenance_by_place on provenance (run, round, position);
create unique index provenance_begins_once on provenance (run) where number = 0;

create trigger only_added before update or delete or truncate on provenance
for each statement execute function refuse_change();

-- A round that is done again after a fault hangs on the same entry as before; what goes on hangs on one of both.
create function hang_on_another() returns trigger language plpgsql as $$
begin
    if new.number = 0 then
        if new.previous <> repeat('0', 64) or exists (select from provenance where run = new.run) then
            raise exception 'a record begins once' using errcode = 'integrity_constraint_violation';
        end if;
    elsif not exists (
        select from provenance
        where sha256 = new.previous and run = new.run and number = new.number - 1 and round is not null)
    then
        raise exception 'an entry hangs on one of its run' using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end
$$;
create trigger hangs_on_another before insert on provenance for each row execute function hang_on_another();

-- The models that came of runs; their packages lie in the home's folder models.
create table federation_model (
    name          text collate "C" not null,
    version       text collate "C" not null,
    task          text collate "C" not null,
    run           text collate "C" not null,
    passport      text collate "C" not null,           -- SHA-256 of each of its files
    network       text collate "C" not null,
    record        text collate "C" not null,
    weights       text collate "C" not null,           -- that a later run may begin with
    signed_by     text collate "C" not null,           -- SHA-256 of the key that signed it
    registered_at timestamptz not null default now(),
    primary key (name, version)
);
create trigger only_added before update or delete or truncate on federation_model
for each statement execute function refuse_change();

-- What was done with datasets, as EUCAIM's tracing service takes it, in the order in which it was done.
create table dataset_trace (
    number       bigint generated always as identity primary key,
    key          text collate "C" unique,              -- of what is told once however often it is done
    at           timestamptz not null default now(),
    body         jsonb not null,                       -- as it is posted
    attempts     integer not null default 0,
    next_try     timestamptz not null default now(),
    delivered_at timestamptz,
    refused      boolean not null default false,       -- the service will not take it as it is
    ids          text[] not null default '{}',         -- as the service calls it
    failure      text not null default ''              -- of the last attempt
);
create index dataset_trace_due on dataset_trace (number) where delivered_at is null and not refused;
