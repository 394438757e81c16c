-- Applications for permits: what they say, who said what of them, the rules that they agree to; and patients' consents.

alter table permit drop constraint permit_state_check;
alter table permit add constraint permit_state_check
    check (state in ('requested', 'granted', 'rejected', 'revoked', 'withdrawn'));
-- How far the review of what is requested has come.
alter table permit add column review text not null default 'received'
    check (review in ('received', 'in-review', 'changes-asked'));

-- The rules of participation, each version as it was published. The newest is the one to agree to.
create table rules (
    number       integer primary key generated always as identity,
    version      text collate "C" not null unique,
    text         text not null,
    sha256       text collate "C" not null,   -- of the text in UTF-8
    published_at timestamptz not null default now(),
    published_by text not null
);
create trigger only_added before update or delete or truncate on rules
for each statement execute function refuse_change();

-- What an application says beside its permit; a change makes the next revision and leaves those before as they are.
create table application (
    permit    integer not null references permit,
    revision  integer not null,
    title     text not null,
    protocol  text not null,
    people    text not null,                       -- who will use the data: a line each
    starts    date,
    ends      date,
    rules     integer references rules,            -- null: there were none
    permitted jsonb not null,                      -- the permit's part of the revision
    made_at   timestamptz not null default now(),
    made_by   text not null,
    primary key (permit, revision)
);
create trigger only_added before update or delete or truncate on application
for each statement execute function refuse_change();

create table application_event (
    number   bigint primary key generated always as identity,
    permit   integer not null references permit,
    revision integer not null,                     -- to which it was said; 0: asked for without a form
    at       timestamptz not null default now(),
    by       text collate "C" not null,
    kind     text not null check (kind in ('message', 'in-review', 'changes-asked', 'changed', 'for', 'against')),
    text     text not null default ''
);
create index application_event_by_permit on application_event (permit, number);
create unique index one_vote on application_event (permit, revision, by) where kind in ('for', 'against');
create trigger only_added before update or delete or truncate on application_event
for each statement execute function refuse_change();

-- Statements of patients about the use of their data, in the order in which they were recorded. Patients are pseudonyms:
-- several where the Patient ID can be written in several ways.
create table consent (
    number      bigint primary key generated always as identity,
    id          uuid not null unique default gen_random_uuid(),
    patients    text[] collate "C" not null check (cardinality(patients) > 0),
    decision    text not null check (decision in ('given', 'withdrawn')),
    scope       text not null check (scope in ('secondary-use', 'donation', 'training')),
    stated_at   timestamptz not null,              -- when she said so
    text_sha256 text collate "C" not null,         -- of the text that she was shown
    evidence    text not null,                     -- where the signed paper or the record of it is
    recorded_at timestamptz not null default now(),
    recorded_by text not null
);
create index consent_by_patient on consent using gin (patients);
create trigger only_added before update or delete or truncate on consent
for each statement execute function refuse_change();

-- What each patient's newest statement is, for each scope.
create table patient_consent (
    patient_id text collate "C" not null,
    scope      text not null,
    decision   text not null,
    consent    bigint not null references consent,
    primary key (patient_id, scope)
);

-- A consent that was withdrawn is an opt-out, until it is given again.
alter table opt_out add column by_consent boolean not null default false;

-- What others may see of the dataset only with a consent of this scope; of the dataset of all studies: of the whole node.
alter table dataset add column consent_scope text check (consent_scope in ('secondary-use', 'donation', 'training'));

-- Whether one of the study's patients has not given her consent. She is known by the very pseudonym that her exam has.
create function lacks_consent(study text, wanted text) returns boolean language sql stable as $$
    select wanted is not null and exists (
        select from (
            select patient_id from study s where s.study_instance_uid = study
            union select patient_id from other_patient o where o.study_instance_uid = study) patient
        where not exists (
            select from patient_consent given
            where given.patient_id = patient.patient_id and given.scope = wanted and given.decision = 'given'))
$$;

create or replace function withhold_studies(studies text[]) returns void language sql as $$
    update study set withheld = not withheld
    where study_instance_uid = any(studies) and withheld <> (
        with patient as (
            select study.patient_id
            union select o.patient_id from other_patient o where o.study_instance_uid = study.study_instance_uid),
        named as (
            select patient_id from patient
            union select alias from patient_alias join patient using (patient_id))
        select exists (select from opt_out join named using (patient_id))
            or lacks_consent(study.study_instance_uid, (select consent_scope from dataset where number = 0))
            or exists (
                select from erasure
                where completed_at is null and (
                    kind = 'study' and study.study_instance_uid = any(pseudonyms)
                    or kind = 'patient' and pseudonyms && array(select patient_id from patient))))
$$;

-- A study is withheld in a dataset where it is withheld anyway, and where the dataset wants a consent that is not there.
create function withhold_in_dataset(studies text[]) returns void language sql as $$
    update dataset_study member set withheld = not member.withheld
    from study, dataset
    where member.study_instance_uid = any(studies) and study.study_instance_uid = member.study_instance_uid
        and dataset.number = member.dataset
        and member.withheld <> (study.withheld or lacks_consent(study.study_instance_uid, dataset.consent_scope))
$$;

create or replace function withhold_in_datasets() returns trigger language plpgsql as $$
begin
    perform withhold_in_dataset(array[new.study_instance_uid]);
    return null;
end
$$;

create function withhold_newcomers() returns trigger language plpgsql as $$
begin
    if exists (select from dataset where consent_scope is not null) then
        perform withhold_in_dataset(array(select study_instance_uid from come));
    end if;
    return null;
end
$$;
create trigger newcomers_need_consent after insert on dataset_study referencing new table as come
for each statement execute function withhold_newcomers();

-- That a study has a further patient is known later than that it is in a dataset.
create or replace function withhold_arrival() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(1577713680);
    perform withhold_studies(array[new.study_instance_uid]);
    if exists (select from dataset where consent_scope is not null) then
        perform withhold_in_dataset(array[new.study_instance_uid]);
    end if;
    return null;
end
$$;

create function withhold_by_consent() returns trigger language plpgsql as $$
declare
    patient text;
begin
    foreach patient in array new.patients loop
        insert into patient_consent values (patient, new.scope, new.decision, new.number)
        on conflict (patient_id, scope) do update set decision = excluded.decision, consent = excluded.consent;
        if exists (select from patient_consent where patient_id = patient and decision = 'withdrawn') then
            insert into opt_out (patient_id, added_by, by_consent) values (patient, new.recorded_by, true)
            on conflict (patient_id) do nothing;
        else
            delete from opt_out where patient_id = patient and by_consent;
        end if;
        perform pg_advisory_xact_lock(1577713680);
        perform withhold_studies(studies_of_patient(patient));
        perform withhold_in_dataset(studies_of_patient(patient));
    end loop;
    perform pg_notify('senogate_access', 'consent');
    return null;
end
$$;
create trigger consent_is_recorded after insert on consent
for each row execute function withhold_by_consent();

-- A version is of the same studies as its dataset was, and wants the same consent.
create function take_consent_scope() returns trigger language plpgsql as $$
begin
    select consent_scope into new.consent_scope from dataset
    where name = new.name and version = 0 and deleted_at is null and number > 0;
    return new;
end
$$;
create trigger version_wants_consent before insert on dataset
for each row when (new.version > 0) execute function take_consent_scope();

create function withhold_for_dataset() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock(1577713680);
    if new.number = 0 then
        perform withhold_studies(array(select study_instance_uid from study));
    else
        perform withhold_in_dataset(array(select study_instance_uid from dataset_study where dataset = new.number));
    end if;
    perform pg_notify('senogate_access', 'consent');
    return null;
end
$$;
create trigger dataset_wants_consent after update of consent_scope on dataset
for each row when (old.consent_scope is distinct from new.consent_scope) execute function withhold_for_dataset();

-- Questions for counts leave out what is withheld in a dataset.
create function search_member_anew() returns trigger language plpgsql as $$
begin
    insert into search_stale values (new.study_instance_uid, true);
    return null;
end
$$;
create trigger member_is_searched_anew after update on dataset_study for each row
when (old.withheld <> new.withheld) execute function search_member_anew();
