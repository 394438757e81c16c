-- The index of what Orthanc stores, the sealed crosswalk, readings and clients.
-- Rows of study, series and instance hold their QIDO-RS answer (PS3.18 table 10.6.3-3 to -5) ready as DICOM JSON
-- bytes (PS3.18 annex F). In those bytes a NUL, which JSON can't contain, stands for the base URL of DICOMweb.

create table study (
    study_instance_uid       text collate "C" primary key,
    patient_id               text collate "C" not null,
    patient_name             text not null,
    patient_birth_date       text collate "C" not null,
    patient_sex              text collate "C" not null,
    study_date               text collate "C" not null,
    study_time               text collate "C" not null,
    accession_number         text collate "C" not null,
    study_id                 text collate "C" not null,
    referring_physician_name text not null,
    study_description        text not null,
    modalities               text[] not null,
    sop_classes              text[] not null,
    number_of_series         integer not null,
    number_of_instances      integer not null,
    attributes               jsonb not null,   -- DICOM JSON of the study's and patient's own attributes
    dicom_json               bytea not null,   -- the QIDO-RS answer
    indexed_at               timestamptz not null default now()
);
create index study_by_patient on study (patient_id);
create index study_by_date on study (study_date desc, study_instance_uid);
create index study_by_accession on study (accession_number) where accession_number <> '';
create index study_by_modalities on study using gin (modalities);

create table series (
    series_instance_uid text collate "C" primary key,
    study_instance_uid  text collate "C" not null references study on delete cascade,
    modality            text collate "C" not null,
    series_number       integer,
    number_of_instances integer not null,
    attributes          jsonb not null,
    dicom_json          bytea not null
);
create index series_by_study on series (study_instance_uid);

create table instance (
    sop_instance_uid    text collate "C" primary key,
    series_instance_uid text collate "C" not null references series on delete cascade,
    study_instance_uid  text collate "C" not null references study on delete cascade,
    sop_class_uid       text collate "C" not null,
    instance_number     integer,
    number_of_frames    integer not null,
    transfer_syntax_uid text collate "C" not null,
    orthanc_id          text collate "C" not null,
    place               text collate "C" not null,   -- Orthanc's attachment UUID
    size                bigint not null,             -- bytes of the Part 10 file
    pixel_offset        bigint,                      -- of the value of Pixel Data in that file; null: has none
    pixel_length        bigint,                      -- bytes of that value; null: encapsulated
    is_image            boolean not null,            -- has pixels, and is no segmentation made from others
    dicom_json          bytea not null,
    metadata            bytea not null               -- the whole data set as DICOM JSON, bulk data by reference
);
create index instance_by_series on instance (series_instance_uid);
create index instance_by_study on instance (study_instance_uid);

-- Which images a study has now: another fingerprint is another study to read.
create view study_images as
select
    study_instance_uid,
    encode(sha256(convert_to(string_agg(sop_instance_uid, E'\n' order by sop_instance_uid), 'UTF8')), 'hex') as fingerprint
from instance
where is_image
group by study_instance_uid;

-- Studies that images have come to; one to which none has come for a while is complete, and wants readings.
create table unsettled (
    study_instance_uid text collate "C" primary key references study on delete cascade,
    changed_at         timestamptz not null default now()
);
create index unsettled_by_age on unsettled (changed_at);

-- Instances that Orthanc stores and the index can't read, so that they are known and hold up no other.
create table unindexed (
    orthanc_id text collate "C" primary key,
    reason     text not null,
    noticed_at timestamptz not null default now()
);

-- How far Orthanc's /changes have been followed.
create table follow_position (
    only_row boolean primary key default true check (only_row),
    sequence bigint not null
);
insert into follow_position (sequence) values (0);

-- A model's reading of a study: wanted, done, or why not.
create table reading (
    study_instance_uid text collate "C" not null references study on delete cascade,
    task               text collate "C" not null,
    state              text not null check (state in ('due', 'done', 'not-applicable', 'failed')),
    fingerprint        text collate "C" not null,   -- of the instances to be read; another one makes it due again
    model              text,
    attempts           integer not null default 0,  -- readings begun; one that ends its process is not begun for ever
    reason             text,
    findings           jsonb,
    result_sop_instance_uid text collate "C",
    changed_at         timestamptz not null default now(),
    primary key (study_instance_uid, task)
);
create index reading_due on reading (changed_at) where state = 'due';

-- Pseudonym to sealed identity (X25519 + AEAD); only the holder of the private key can open a row.
create table crosswalk (
    pseudonym  text collate "C" primary key,
    kind       text not null check (kind in ('study', 'series', 'instance')),
    sealed     bytea not null,
    created_at timestamptz not null default now()
);

-- Programs that may fetch tokens (RFC 6749 section 4.4).
create table client (
    client_id     text collate "C" primary key,
    secret_sha256 bytea not null,
    scope         text not null,
    created_at    timestamptz not null default now(),
    revoked_at    timestamptz
);
