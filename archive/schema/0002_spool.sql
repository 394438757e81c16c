-- Instances that may not be stored as they came, sealed in files of the spool. Nothing here says who they are about:
-- UIDs are pseudonyms, and what a file holds can be opened by the holder of the private key alone.

create table spool (
    id                 text collate "C" primary key,     -- a UUID: the name of the sealed file
    digest             bytea not null unique,            -- keyed; the same instance sent again has the same
    state              text not null check (state in ('waiting', 'cleaning', 'quarantined', 'released', 'discarded')),
    reason             text not null,                    -- a code: why it is held, or why it is in this state
    study_instance_uid text collate "C" not null,        -- a pseudonym
    sop_instance_uid   text collate "C" not null,        -- a pseudonym
    sop_class_uid      text collate "C" not null,
    size               bigint not null,                  -- bytes of the instance
    attempts           integer not null default 0,       -- cleanings begun
    received_at        timestamptz not null default now(),
    changed_at         timestamptz not null default now(),
    masks              jsonb,                            -- what the cleaning masks: [x, y, width, height], ...
    decision           jsonb                             -- a person's: who, why, and what was masked
);
create index spool_due on spool (received_at) where state in ('waiting', 'cleaning');
create index spool_by_instance on spool (sop_instance_uid);

-- Who opened what the spool holds, when and what for; written before it is opened, and kept after it is gone.
create table spool_opening (
    spool_id  text collate "C" not null,
    opened_at timestamptz not null default now(),
    opened_by text not null,                             -- the user of the command, or "worker"
    purpose   text not null check (purpose in ('clean', 'look', 'release'))
);
create index spool_opening_by_spool on spool_opening (spool_id, opened_at);
