-- A study is read for each task and modality, and beside the model that answers by one in its shadow; what was
-- read, by what, and when is logged (Regulation (EU) 2024/1689 article 12).

alter table reading add modality text collate "C" not null default 'MG';
alter table reading add shadow boolean not null default false;   -- by a model whose answers are kept and told nobody
alter table reading drop constraint reading_pkey;
alter table reading add primary key (study_instance_uid, task, modality, shadow);

drop view study_images;
-- Which images of a modality a study has now: another fingerprint is another study to read.
create view study_images as
select
    study_instance_uid,
    modality,
    encode(sha256(convert_to(string_agg(sop_instance_uid, E'\n' order by sop_instance_uid), 'UTF8')), 'hex') as fingerprint
from instance join series using (study_instance_uid, series_instance_uid)
where is_image and modality in ('MG', 'US', 'MR')   -- those that models read; pictures of results are of none
group by study_instance_uid, modality;

create table inference_log (
    number             bigint generated always as identity primary key,
    study_instance_uid text collate "C" not null references study on delete cascade,
    task               text collate "C" not null,
    modality           text collate "C" not null,
    shadow             boolean not null,
    fingerprint        text collate "C" not null,
    state              text not null,
    reason             text,
    model_name         text,
    model_version      text,
    model_sha256       text collate "C",
    inputs             jsonb not null,           -- SOP Instance UID to SHA-256 of the stored instance
    output_sha256      text collate "C",         -- of the findings as they were kept
    device             text,                     -- what the network ran on
    began_at           timestamptz not null,
    seconds            double precision not null,
    parts              jsonb not null            -- seconds of each part of it
);
create index inference_by_study on inference_log (study_instance_uid, number);
