-- What `senogate reindex` has to do, and how far it is: whoever goes on after it was killed begins there.

create table reindexing (
    only_row boolean primary key default true check (only_row),
    begun_at timestamptz not null default now(),
    position bigint not null default 0,   -- the number of the last instance that is done
    total    bigint not null,
    indexed  bigint not null default 0
);

-- Instances that Orthanc listed, after those that it did not list and the index holds; what the index said of them then.
create table reindexing_instance (
    number           bigint primary key,
    orthanc_id       text collate "C" not null,
    sop_instance_uid text collate "C",
    place            text collate "C"
);
