-- Patients who opted out, the studies that are withheld for it, what is to be erased, and who was learnt from.

-- No original identity is here: patients are their pseudonyms.
create table opt_out (
    patient_id text collate "C" primary key,
    added_at   timestamptz not null default now(),
    added_by   text not null
);

-- Further patients of a study, beside the one whom its first instance named.
create table other_patient (
    study_instance_uid text collate "C" not null references study on delete cascade,
    patient_id         text collate "C" not null,
    primary key (patient_id, study_instance_uid)
);
create index other_patient_by_study on other_patient (study_instance_uid);

-- Every search and every retrieval leaves withheld studies out; the counts of days count the others.
alter table study add column withheld boolean not null default false;
drop index study_by_date;
create index study_by_date on study (study_date desc, study_instance_uid desc)
    include (number_of_series, number_of_instances) where not withheld;

create or replace function count_studies() returns void language sql as $$
    delete from study_day;
    insert into study_day
    select study_date, modality, count(*), sum(number_of_series), sum(number_of_instances)
    from study, unnest(array_append(modalities, '')) modality
    where not withheld
    group by study_date, modality
$$;

create or replace function count_study(which study, sign integer) returns void language sql as $$
    insert into study_day
    select which.study_date, modality, sign, sign * which.number_of_series, sign * which.number_of_instances
    from unnest(array_append(which.modalities, '')) modality
    where not which.withheld
    order by modality
    on conflict (modality, study_date) do update set
        studies = study_day.studies + excluded.studies,
        series = study_day.series + excluded.series,
        instances = study_day.instances + excluded.instances
$$;

drop trigger study_changes on study;
create trigger study_changes after update on study
for each row when (
    (old.study_date, old.modalities, old.number_of_series, old.number_of_instances, old.withheld)
    is distinct from (new.study_date, new.modalities, new.number_of_series, new.number_of_instances, new.withheld))
execute function keep_study_day();

-- Give each of the studies the value that the opt-outs give it now.
create function withhold_studies(studies text[]) returns void language sql as $$
    update study set withheld = not withheld
    where study_instance_uid = any(studies) and withheld <> exists (
        select from opt_out
        where patient_id = study.patient_id or patient_id in (
            select other_patient.patient_id from other_patient
            where other_patient.study_instance_uid = study.study_instance_uid))
$$;

create function studies_of_patient(patient text) returns text[] language sql stable as $$
    select array(
        select study_instance_uid from study where patient_id = patient
        union select study_instance_uid from other_patient where patient_id = patient)
$$;

-- A study comes while its patient opts out: each looks for the other only when it holds this lock, the study as the last
-- thing before its transaction commits. So the second of them finds the first.
create function withhold_arrival() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(1577713680);
    perform withhold_studies(array[new.study_instance_uid]);
    return null;
end
$$;
create constraint trigger study_arrives after insert on study deferrable initially deferred
for each row execute function withhold_arrival();
create constraint trigger study_is_of_another after insert on other_patient deferrable initially deferred
for each row execute function withhold_arrival();

create function withhold_patient() returns trigger language plpgsql as $$
declare
    patient text := case when tg_op = 'DELETE' then old.patient_id else new.patient_id end;
begin
    perform withhold_studies(studies_of_patient(patient));
    perform pg_advisory_xact_lock(1577713680);
    perform withhold_studies(studies_of_patient(patient));
    perform pg_notify('senogate_access', 'opt-out');
    return null;
end
$$;
create trigger patient_opts_out after insert or delete on opt_out
for each row execute function withhold_patient();

-- Which trained models learnt from a patient, and in which run. The federation adds rows.
create table training_use (
    patient_id text collate "C" not null,
    model      text not null,
    version    text not null,
    run        text not null,
    at         timestamptz not null default now(),
    primary key (patient_id, model, version, run)
);

-- What is to be erased for good: a row stays due until all of it has gone, and then holds the receipt.
create table erasure (
    id           text collate "C" primary key,   -- a UUID
    kind         text not null check (kind in ('study', 'patient')),
    pseudonym    text collate "C" not null,
    asked_at     timestamptz not null default now(),
    asked_by     text not null,
    reason       text not null,
    removed      jsonb not null default '{}',     -- by kind, how many were removed so far
    completed_at timestamptz,
    receipt      text                            -- signed; a JSON text, byte for byte
);
create unique index erasure_due on erasure (kind, pseudonym) where completed_at is null;

-- Datasets are read in their own order, without the studies.
create function withhold_in_datasets() returns trigger language plpgsql as $$
begin
    update dataset_study set withheld = new.withheld where study_instance_uid = new.study_instance_uid;
    return null;
end
$$;
create trigger study_is_withheld after update on study
for each row when (old.withheld <> new.withheld) execute function withhold_in_datasets();
