-- The trail: what was done with what the site holds, by whom and under which permit. Records are only ever added. The
-- hash of each covers its number, its content and the hash before it, so that none is changed, removed or moved without
-- a trace; signed checkpoints hold the chain to a key that is not in this database.

create table audit (
    number  bigint primary key,                 -- 1, 2, 3, ...
    hash    bytea not null,                     -- SHA-256 of the hash before, the number (8 bytes) and the content
    content text collate "C" not null           -- canonical JSON: what exactly was hashed
);
-- Rows are only added, and statistics of what is read out of their content cost more than they are good for.
alter table audit set (
    autovacuum_analyze_threshold = 100000, autovacuum_analyze_scale_factor = 1,
    autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_insert_scale_factor = 0.5
);
create index audit_by_study on audit ((content::jsonb ->> 'study')) where content::jsonb ? 'study';
create index audit_by_patient on audit ((content::jsonb ->> 'patient')) where content::jsonb ? 'patient';
create index audit_by_permit on audit using gin ((content::jsonb -> 'permits') jsonb_path_ops)
    where content::jsonb ? 'permits';

-- Signed statements that the chain had this hash at this number.
create table audit_checkpoint (
    position   bigint generated always as identity primary key,
    number     bigint not null,
    hash       bytea not null,
    signed_at  text collate "C" not null,       -- as it was signed: 2026-01-01T00:00:00.000000Z
    closes     boolean not null,                -- the records up to this number have been exported and may go
    key_id     text collate "C" not null,       -- which key: the first half of its SHA-256, in hexadecimal
    signature  bytea not null                   -- Ed25519
);

create index closing on audit_checkpoint (number) where closes;

-- What a transaction adds waits here for its commit, so that the end of the chain is locked for no longer than that.
create table audit_pending (
    number  bigint generated always as identity primary key,
    content text collate "C" not null
);

create function append_to_audit(contents text[]) returns void language plpgsql as $$
declare
    last record;
    link bytea;
    links bytea[] := '{}';
begin
    perform pg_advisory_xact_lock(1577713668);
    select number, hash into last from audit order by number desc limit 1;
    if not found then
        select 0::bigint as number, decode(repeat('00', 32), 'hex') as hash into last;
    end if;
    link := last.hash;
    for place in 1 .. cardinality(contents) loop
        link := sha256(link || int8send(last.number + place) || convert_to(contents[place], 'UTF8'));
        links[place] := link;
    end loop;
    insert into audit (number, hash, content)
    select last.number + added.place, added.link, added.content
    from unnest(links, contents) with ordinality as added (link, content, place);
end
$$;

create function append_pending() returns trigger language plpgsql as $$
begin
    perform append_to_audit(array[new.content]);
    delete from audit_pending where number = new.number;
    return null;
end
$$;
create constraint trigger at_commit after insert on audit_pending
deferrable initially deferred for each row execute function append_pending();

create trigger only_added before update or truncate on audit
for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on audit_checkpoint
for each statement execute function refuse_change();

create function refuse_unclosed() returns trigger language plpgsql as $$
begin
    if old.number > coalesce((select max(number) from audit_checkpoint where closes), 0) then
        raise exception 'records of audit go once a checkpoint has closed them off'
            using errcode = 'insufficient_privilege';
    end if;
    return old;
end
$$;
create trigger only_closed_go before delete on audit for each row execute function refuse_unclosed();

-- What the site was configured to be when it last started: of each setting a digest, of secrets none.
create table configuration (
    name   text collate "C" primary key,
    digest bytea not null
);
