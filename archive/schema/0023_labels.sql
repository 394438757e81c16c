-- Labels that a steward imported, and of whom a site learnt.

-- A part of what a federation's hub may have done here acts as `federation:HUB`; what it may see, permits say.
create or replace function subject_is_active(subject text) returns boolean language sql stable as $$
    select case
        when subject = 'administrator' then true
        when subject like 'federation:%' then true
        when subject like 'client:%' then exists (
            select from client where client_id = substr(subject, 8) and revoked_at is null)
        when subject like 'account:%' then exists (
            select from account where name = substr(subject, 9) and disabled_at is null)
        else exists (select from issuer where url = split_part(subject, '#', 1) and position('#' in subject) > 0)
    end
$$;

create table label_import (
    number      integer generated always as identity primary key,
    sha256      text collate "C" not null,    -- of the file
    imported_at timestamptz not null default now(),
    imported_by text not null
);

-- What is known of a study: its density, or its lesions. A later import takes the place of an earlier one.
create table label (
    study_instance_uid text collate "C" not null references study on delete cascade,
    what               text not null check (what in ('density', 'lesions')),
    value              jsonb not null,    -- "a" to "d"; a list of lesions, which may be empty
    import             integer not null references label_import,
    primary key (study_instance_uid, what)
);
create index label_by_import on label (import);

-- The studies of a cohort as salted hashes, so that the site can show of a study that it was one.
create table cohort (
    root    text collate "C" primary key,
    leaves  bytea not null,    -- 32 bytes each
    used_at timestamptz not null default now()
);
