-- Instances that lie in the bucket, or are on their way there or from there.
--
-- A row is committed before anything is put into the bucket, and goes after the object has: so the bucket has nothing that
-- no row tells of. What Orthanc removes is noted here in the same statement as in `removal`.

create table moved (
    place            text collate "C" primary key,  -- Orthanc's attachment UUID, which names the object
    sop_instance_uid text collate "C" not null,
    orthanc_id       text collate "C" not null,
    size             bigint not null,
    written_at       bigint,                        -- when the file was, in nanoseconds since 1970
    tried_at         timestamptz,                   -- when it last could not be put there
    moved_at         timestamptz,                   -- since when the bucket has it, read back whole
    removed_at       timestamptz,                   -- since when the storage folder has it no longer
    gone_at          timestamptz                    -- since when Orthanc has it no longer
);
create index moved_by_orthanc_id on moved (orthanc_id);
create index moved_to_be_put on moved (place) where moved_at is null and gone_at is null;
create index moved_to_be_removed on moved (moved_at) where moved_at is not null and removed_at is null and gone_at is null;
create index moved_gone on moved (gone_at) where gone_at is not null;
