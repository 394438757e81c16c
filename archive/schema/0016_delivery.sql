-- What is delivered to clinical PACS: of each destination a row for each instance of a result. A row names pseudonyms
-- alone: under which UIDs and which identity the instance lies there is derived anew each time.

create table delivery (
    id                  bigint generated always as identity primary key,
    destination         text collate "C" not null,      -- its name in the site's settings
    study_instance_uid  text collate "C" not null references study on delete cascade,
    series_instance_uid text collate "C" not null,
    sop_instance_uid    text collate "C" not null,
    sop_class_uid       text collate "C" not null,
    kind                text not null,
    content             text collate "C" not null,       -- SHA-256 of the data set as it is stored here
    edition             integer not null default 0,      -- how many others the destination was sent before
    version             text collate "C" not null        -- what its UID at the destination is made from
        generated always as (case when edition = 0 then content else content || ':' || edition::text end) stored,
    state               text not null default 'waiting' check (
        state in ('waiting', 'delivering', 'stored', 'committed', 'refused', 'cancelled')),
    is_uncertain        boolean not null default false,  -- an attempt began of which no answer came
    attempts            integer not null default 0,
    next_try            timestamptz default now(),       -- of what is still to be done; null: nothing is
    status              integer,                         -- the last that the destination answered (PS3.4 table B.2-1)
    reason              text not null default '',        -- why the last attempt was not the last, or was
    stored_version      text collate "C" not null default '',  -- that which the destination holds, where it holds one
    transaction_uid     text collate "C",                -- of the storage commitment that was asked for last
    asked               integer not null default 0,      -- requests for storage commitment
    wanted_at           timestamptz not null default now(),
    changed_at          timestamptz not null default now(),
    stored_at           timestamptz,
    unique (sop_instance_uid, destination)
);
create index delivery_due on delivery (destination, next_try) where next_try is not null;
create index delivery_by_study on delivery (study_instance_uid);
create index delivery_by_transaction on delivery (transaction_uid) where transaction_uid is not null;

-- Of a study that is withheld nothing is delivered; what waited is given up.
create function cancel_deliveries() returns trigger language plpgsql as $$
begin
    update delivery set state = 'cancelled', next_try = null, reason = 'the study is withheld', changed_at = now()
    where study_instance_uid = new.study_instance_uid and state in ('waiting', 'delivering');
    return null;
end
$$;
create trigger study_is_not_delivered after update on study
for each row when (new.withheld and not old.withheld) execute function cancel_deliveries();

-- That results are for research use, as the site wrote it, each time it wrote another sentence; empty: it took it back.
create table delivery_acknowledgement (
    number   bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    by       text not null,
    sentence text not null
);
create trigger only_added before update or delete or truncate on delivery_acknowledgement
    for each statement execute function refuse_change();

-- The frames of reference of images: results lie in them too.
alter table crosswalk drop constraint crosswalk_kind_check;
alter table crosswalk add constraint crosswalk_kind_check
    check (kind in ('study', 'series', 'instance', 'frame-of-reference'));
