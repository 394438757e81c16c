-- What readers said of what models found. A row is said once and for all; what comes later is another row. The worker
-- writes each as an SR into the study, and then notes the SR's UID.

create table review (
    number             bigint generated always as identity unique,   -- the order in which they were said
    review_id          text collate "C" primary key,                 -- a UUID; random, so that its hash tells nothing
    study_instance_uid text collate "C" not null references study on delete cascade,
    task               text collate "C" not null,
    modality           text collate "C" not null,
    fingerprint        text collate "C" not null,    -- of the findings that were looked at (review.sql, fingerprint_of)
    findings           jsonb not null,               -- they themselves, since another reading takes their place
    result_sop_instance_uid text collate "C",        -- their report
    lesion             text not null default '',     -- '': of all of it
    decision           text not null check (decision in ('accept', 'reject', 'comment')),
    comment            text not null,
    reviewer           text not null,                -- the subject that said it
    observer           text not null,                -- what the SR calls it
    at                 timestamptz not null default now(),
    sop_instance_uid   text collate "C",             -- of the SR; null: is to be written
    attempts           integer not null default 0,   -- to write it, which failed
    due_at             timestamptz not null default now()
);
create index review_by_study on review (study_instance_uid, task, modality, number);
create index review_due on review (due_at) where sop_instance_uid is null;

-- What findings say, without when: another reading that says the same has the same fingerprint.
create function fingerprint_of(findings jsonb) returns text language sql stable as $$
    select encode(sha256(convert_to((findings #- '{findings,created_at}')::text, 'UTF8')), 'hex')
$$;
