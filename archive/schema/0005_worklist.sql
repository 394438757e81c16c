-- The worklist of Unified Procedure Steps (PS3.4 annex CC, PS3.18 chapter 11), who is told of their events, and events
-- that are still to be told.

create table workitem (
    sop_instance_uid   text collate "C" primary key,
    state              text not null check (state in ('SCHEDULED', 'IN PROGRESS', 'COMPLETED', 'CANCELED')),
    transaction_uid    text collate "C",        -- of who claimed it; never told
    attributes         jsonb not null,          -- DICOM JSON, with the state and without the Transaction UID
    performed_here     boolean not null default false,   -- claimed by this site's own worker
    -- A reading that this site does itself when it is asked for: the table reading says how far it is.
    study_instance_uid text collate "C" references study on delete set null,
    task               text collate "C",
    changed_at         timestamptz not null default now()
);
create index workitem_by_reading on workitem (study_instance_uid, task) where state in ('SCHEDULED', 'IN PROGRESS');
create index workitem_by_change on workitem (changed_at);

create table workitem_subscription (
    subscriber    text collate "C" not null,
    workitem      text collate "C" not null,    -- a workitem's UID, or one of the two that stand for worklists
    filter        text not null default '',     -- of the filtered worklist: a query string
    deletion_lock boolean not null default false,
    primary key (subscriber, workitem)
);
create index subscription_by_workitem on workitem_subscription (workitem);

create table workitem_event (
    number     bigint generated always as identity primary key,
    subscriber text collate "C" not null,
    report     text not null,                   -- DICOM JSON
    created_at timestamptz not null default now()
);
create index event_by_subscriber on workitem_event (subscriber, number);
