-- What the keeper keeps for stewards' pages, and exams whose reading went wrong.

-- The report on each dataset, and on each version of one. Null content: none was made in time.
create table quality_report (
    dataset  integer primary key references dataset,
    content  jsonb,                                 -- archive/quality/report.py, without the exams that it names
    changes  bigint not null,                       -- of what reports are made of, as they were counted before
    tried_at timestamptz not null default now(),
    made_at  timestamptz
);

-- The exams that a report names, the worst first. What is erased leaves it at once.
create table quality_worst (
    dataset            integer not null references quality_report on delete cascade,
    place              integer not null,
    study_instance_uid text collate "C" not null references study on delete cascade,
    findings           jsonb not null,
    checked_at         timestamptz not null,
    primary key (dataset, place)
);
create index quality_worst_by_study on quality_worst (study_instance_uid);

-- Exams that somebody began to look at, and did not end: how often, and when they are tried again.
create table quality_attempt (
    study_instance_uid text collate "C" primary key references study on delete cascade,
    tries              integer not null,
    is_begun           boolean not null,
    next_try           timestamptz not null
);

-- Which principals are one person's: who was last shown a program's secret on a page (empty: nobody, it was registered
-- at the command line), and identities that an administrator says are the same person's.
alter table client add column owner text collate "C" not null default '';
create table linked_identity (
    subject   text collate "C" primary key,
    person    text collate "C" not null,          -- the same for all that are linked: a UUID, and so no subject
    linked_at timestamptz not null default now(),
    linked_by text not null
);

create function person_of(asked text) returns text language sql stable as $$
    select coalesce((select person from linked_identity l where l.subject = held.subject), held.subject)
    from (select coalesce((select nullif(owner, '') from client where 'client:' || client_id = asked), asked) as subject) held
$$;

-- Notices of something else than a reading: what is told, and who beside stewards and administrators hears of it.
alter table notice
    alter column study_instance_uid drop not null,
    alter column task drop not null,
    alter column modality drop not null,
    alter column state drop not null,
    add column about jsonb,
    add column hearers text[] not null default '{}',
    add check ((study_instance_uid is null) = (about is not null));
