-- Jobs over datasets, whose aggregates alone come out; and the model packages that were sent in for them.

-- A package by the SHA-256 of its passport's text. It is never added to the site and reads nothing but for jobs.
create table job_package (
    package     text collate "C" primary key,
    passport    bytea not null,
    network     text collate "C" not null,         -- SHA-256 that the passport names
    is_whole    boolean not null default false,    -- its network is here
    size        bigint not null default 0,         -- bytes of the network
    sent_at     timestamptz not null default now(),
    sent_by     text not null,
    approved_at timestamptz,                       -- by its hash, whoever signed it
    approved_by text
);
create index job_package_by_sender on job_package (sent_by);

create table job_package_part (
    package text collate "C" not null references job_package on delete cascade,
    number  integer not null,
    content bytea not null,
    primary key (package, number)
);
alter table job_package_part alter content set storage external;    -- weights don't compress

create table job (
    number       integer generated always as identity primary key,
    job_id       text collate "C" generated always as ('J' || number) stored unique,
    subject      text collate "C" not null,        -- who gets the answer
    permit       text collate "C" not null,
    dataset      text collate "C" not null,        -- with @ and its number that of a version
    kind         text not null check (kind in ('evaluation', 'features', 'counts')),
    question     jsonb not null,                   -- canonical: equal questions are equal here
    sha256       text collate "C" not null,        -- of dataset and question
    state        text not null default 'submitted' check (state in (
        'submitted', 'waiting', 'due', 'running', 'checked', 'released',
        'refused', 'cancelled', 'stopped', 'failed', 'withheld')),
    reason       text not null default '',
    submitted_at timestamptz not null default now(),
    submitted_by text not null,
    approved_at  timestamptz,
    approved_by  text,
    begun_at     timestamptz,
    attempt      integer not null default 0,       -- who began an earlier one may not end the job
    ends         integer not null default 0,       -- of its process before the job's
    done         integer not null default 0,       -- exams, of `total`
    total        integer not null default 0,
    ended_at     timestamptz,
    contents     text collate "C",                 -- hash of what was in the dataset
    studies      integer not null default 0,       -- rows of job_study, when the job had run
    findings     jsonb,                            -- of the output check
    result       text,
    released_at  timestamptz,
    released_by  text
);
create index job_by_subject on job (subject, number);
create index job_by_permit on job (permit, sha256);
create index job_open on job (number) where state in ('submitted', 'due', 'running');
create index job_by_question on job (sha256, contents) where state = 'released';

-- What an answer that nobody has released yet is made of: it is not released once one of them is withheld or gone.
create table job_study (
    job                integer not null references job on delete cascade,
    study_instance_uid text collate "C" not null references study on delete cascade,
    primary key (job, study_instance_uid)
);
create index job_study_by_study on job_study (study_instance_uid);

create function tell_job() returns trigger language plpgsql as $$
begin
    if new.state in ('submitted', 'due') then
        perform pg_notify('senogate_readings', 'job');
    end if;
    return null;
end
$$;
create trigger job_is_told after insert or update of state on job for each row execute function tell_job();
