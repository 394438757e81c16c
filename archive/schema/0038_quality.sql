-- What is known of the quality of what the site holds: of each image's pixels, and of each study.

-- Studies of which images came or went, or were replaced. Rows are added and taken away, never changed.
create table quality_due (
    study_instance_uid text collate "C" not null
);

create function quality_anew() returns trigger language plpgsql as $$
begin
    insert into quality_due
    select study_instance_uid from study where study_instance_uid in (select study_instance_uid from changed);
    return null;
end
$$;
create trigger instances_are_checked after insert on instance referencing new table as changed
for each statement execute function quality_anew();
create trigger instances_are_checked_anew after update on instance referencing new table as changed
for each statement execute function quality_anew();
create trigger instances_are_checked_no_more after delete on instance referencing old table as changed
for each statement execute function quality_anew();

create table image_quality (
    sop_instance_uid   text collate "C" primary key references instance on delete cascade,
    study_instance_uid text collate "C" not null,
    place              text collate "C" not null,   -- of the file that was looked at
    pixels             bytea,                       -- SHA-256 of what they decode to; null: none, or all alike
    problem            text check (problem in ('undecodable', 'missing'))
);
create index image_quality_by_study on image_quality (study_instance_uid);
create index image_quality_by_pixels on image_quality (pixels) where pixels is not null;

-- Findings are those of archive/quality/checks.py: a check, of how many instances, which attributes.
create table study_quality (
    study_instance_uid text collate "C" primary key references study on delete cascade,
    findings           jsonb not null,
    checked_at         timestamptz not null default now()
);

-- Key and index come after the rows: both are then made of all of them at once, while ingest waits for this.
insert into quality_due select study_instance_uid from study;
alter table quality_due add foreign key (study_instance_uid) references study on delete cascade;
create index quality_due_by_study on quality_due (study_instance_uid);
