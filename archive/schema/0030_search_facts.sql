-- What questions about studies are answered from: small numbers for each study that is not withheld, which gateways hold
-- in memory, and what each asker has asked today.

-- The distinct series of a study, as JSON's array of modality, manufacturer and body part; few studies differ in them.
create table search_kinds (
    code  integer primary key generated always as identity,
    kinds text collate "C" not null unique
);

-- Values are those of archive/search_facts.py. A study that has gone, or is withheld, leaves a row without anything of it,
-- so that who holds the rest in memory learns that the number is of none.
create table search_fact (
    number             integer primary key generated always as identity,
    revision           bigint not null,    -- in which the row changed; greater ones are committed later
    study_instance_uid text collate "C" unique,
    patient            bigint not null default 0,     -- 64 bits of the Patient ID's hash
    day                integer not null default 0,    -- the number that the eight digits of Study Date are; 0: unknown
    age                smallint not null default -1,  -- completed years; -1: unknown
    sex                smallint not null default 0,
    kinds              integer not null default 0,
    views              smallint not null default 0,
    laterality         smallint not null default 0,
    density            smallint not null default 0,
    assessment         smallint not null default -1,
    diagnosis          smallint not null default 0,
    findings           smallint not null default 0,
    round              smallint not null default 0
);
create index search_fact_by_patient on search_fact (patient);
create index search_fact_by_revision on search_fact (revision);

-- Who writes facts takes the next revision, and holds it alone until that is committed.
create table search_revision (
    only_row boolean primary key default true check (only_row),
    revision bigint not null
);
insert into search_revision (revision) values (0);

-- Studies whose facts may be others now; `is_member`: so may be the datasets that they are of. Rows are added and taken
-- away, never changed, so nobody who changes a study waits for who counts, and no change goes unseen.
create table search_stale (
    study_instance_uid text collate "C" not null,
    is_member          boolean not null
);

create function search_anew() returns trigger language plpgsql as $$
begin
    insert into search_stale values (
        case when tg_op = 'DELETE' then old.study_instance_uid else new.study_instance_uid end, false);
    return null;
end
$$;
create trigger study_is_searched after insert or delete on study for each row execute function search_anew();
create trigger study_is_searched_anew after update on study for each row execute function search_anew();
create trigger reading_is_searched after insert or delete on reading for each row execute function search_anew();
create trigger reading_is_searched_anew after update on reading for each row
when ((old.state, old.findings) is distinct from (new.state, new.findings)) execute function search_anew();
create trigger review_is_searched after insert or delete on review for each row execute function search_anew();
create trigger label_is_searched after insert or update or delete on label for each row execute function search_anew();

-- Whose members are all found at once, or all forgotten, is loaded as a whole.
create function search_members_anew() returns trigger language plpgsql as $$
begin
    insert into search_stale
    select study_instance_uid, true from changed
    where not exists (
        select from dataset where number = changed.dataset and (created_at = now() or deleted_at is not null));
    return null;
end
$$;
create trigger members_are_searched after insert on dataset_study referencing new table as changed
for each statement execute function search_members_anew();
create trigger members_are_searched_no_more after delete on dataset_study referencing old table as changed
for each statement execute function search_members_anew();

-- The first 64 bits of a hash, as a number.
create function search_hash(value text) returns bigint language sql immutable as $$
    select ('x' || encode(substr(sha256(convert_to(value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
$$;

-- What an asker has asked on a day, and what each cost.
create table search_asked (
    asker  text collate "C" not null,
    day    date not null,
    digest bytea not null,    -- keyed: of what was asked, and of the datasets as they were
    cost   integer not null,
    primary key (asker, day, digest)
);

-- Labels tell of the assessment and of cancer, too.
alter table label drop constraint label_what_check;
alter table label add constraint label_what_check check (what in ('density', 'lesions', 'assessment', 'cancer'));

-- What is here already.
insert into search_stale select study_instance_uid, false from study;
