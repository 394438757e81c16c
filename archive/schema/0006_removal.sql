-- What Orthanc has removed and the index has not forgotten yet, as the plugin noted it; and when the index last followed.

create table removal (
    number           bigint generated always as identity primary key,
    sop_instance_uid text collate "C",   -- null, as its place is: Orthanc may have removed what nothing was noted of
    place            text collate "C"
);

alter table follow_position add column followed_at timestamptz not null default '-infinity';
