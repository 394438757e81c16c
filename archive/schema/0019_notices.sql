-- Who is told of readings that ended, by HTTP and on the worklist; what each is still to be told; and under which UID
-- who does not see every study gave a workitem.

create table webhook (
    number         integer generated always as identity primary key,
    name           text collate "C" not null unique,
    url            text not null,
    subject        text collate "C" not null,   -- the principal who is told, of the studies that it may see
    permit         text collate "C",            -- the only permit of it that counts
    dataset        integer references dataset,  -- the only studies
    events         text[] not null,
    algorithm      text not null check (algorithm in ('hmac-sha256', 'ed25519')),
    salt           bytea not null,              -- of its key, which is derived from the site's
    previous_salt  bytea,                       -- of the key before the last rotation, which signs as well until
    previous_until timestamptz,
    created_at     timestamptz not null default now(),
    created_by     text not null,
    failures       integer not null default 0,  -- attempts that failed since the last that did not
    retry_at       timestamptz not null default now(),
    told_at        timestamptz,
    failed_at      timestamptz,
    failure        text not null default '',    -- why the last attempt failed
    given_up       bigint not null default 0,   -- notices that were never delivered
    stopped_at     timestamptz                  -- its receiver answered 410
);

create table notice (
    number             bigint generated always as identity primary key,
    webhook            integer not null references webhook on delete cascade,
    id                 uuid not null default gen_random_uuid(),
    event              text not null,
    study_instance_uid text collate "C" not null references study on delete cascade,
    task               text collate "C" not null,
    modality           text collate "C" not null,
    state              text not null,
    model              text,
    result_sop_instance_uid text collate "C",
    attempts           integer not null default 0,
    created_at         timestamptz not null default now()
);
create index notice_by_webhook on notice (webhook, attempts, number);
create index notice_by_study on notice (study_instance_uid);
create index notice_by_age on notice (created_at);

-- Readings that changed while somebody subscribes to the worklist, each to have a workitem of the site's own.
create table unlisted_reading (
    study_instance_uid text collate "C" not null references study on delete cascade,
    task               text collate "C" not null,
    changed_at         timestamptz not null default now(),
    primary key (study_instance_uid, task)
);
create function list_reading() returns trigger language plpgsql as $$
begin
    if exists (select from workitem_subscription
               where workitem in ('1.2.840.10008.5.1.4.34.5', '1.2.840.10008.5.1.4.34.5.1')) then
        insert into unlisted_reading (study_instance_uid, task) values (new.study_instance_uid, new.task)
        on conflict (study_instance_uid, task) do update set changed_at = excluded.changed_at;
    end if;
    return null;
end
$$;
create trigger reading_is_listed after insert or update of state on reading
for each row when (not new.shadow) execute function list_reading();

-- Its maker knows a workitem by this one, all others by its own.
alter table workitem add column given_uid text collate "C";
create index workitem_by_given_uid on workitem (created_by, given_uid) where given_uid is not null;
create index workitem_by_study on workitem (study_instance_uid, task);
