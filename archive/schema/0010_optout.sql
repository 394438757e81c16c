-- Patients who opted out, the studies that are withheld for it, what is to be erased, and who was learnt from.

-- No original identity is here: patients are their pseudonyms.
create table opt_out (
    patient_id text collate "C" primary key,
    added_at   timestamptz not null default now(),
    added_by   text not null
);

-- What a Patient ID that came with an issuer has for a pseudonym without one: who opts out may know no issuer.
create table patient_alias (
    alias      text collate "C" not null,
    patient_id text collate "C" not null,
    primary key (alias, patient_id)
);
create index patient_alias_by_patient on patient_alias (patient_id);

-- The pseudonym, and those that it stands for.
create function patients_of(pseudonym text) returns setof text language sql stable as $$
    select pseudonym union select patient_id from patient_alias where alias = pseudonym
$$;

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
    group by study_date, modality;
    delete from study_month;
    insert into study_month
    select left(study_date, 6), modality, sum(studies), sum(series), sum(instances)
    from study_day group by left(study_date, 6), modality
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
        instances = study_day.instances + excluded.instances;
    insert into study_month
    select left(which.study_date, 6), modality, sign, sign * which.number_of_series, sign * which.number_of_instances
    from unnest(array_append(which.modalities, '')) modality
    where not which.withheld
    order by modality
    on conflict (modality, month) do update set
        studies = study_month.studies + excluded.studies,
        series = study_month.series + excluded.series,
        instances = study_month.instances + excluded.instances
$$;

drop trigger study_changes on study;
create trigger study_changes after update on study
for each row when (
    (old.study_date, old.modalities, old.number_of_series, old.number_of_instances, old.withheld)
    is distinct from (new.study_date, new.modalities, new.number_of_series, new.number_of_instances, new.withheld))
execute function keep_study_day();

-- What is to be erased for good: a row is due until all of it has gone, and holds the receipt then.
create table erasure (
    id           text collate "C" primary key,            -- a UUID
    kind         text not null check (kind in ('study', 'patient')),
    pseudonyms   text[] collate "C" not null,             -- of the study, or of the patient
    asked_at     timestamptz not null default now(),
    asked_by     text not null,
    reason       text not null,
    studies      text[] collate "C" not null default '{}',   -- found so far
    instances    text[] collate "C" not null default '{}',   -- found so far, by Orthanc's identifiers
    others       text[] collate "C" not null default '{}',   -- of other patients in her studies: to be indexed anew
    removed      jsonb not null default '{}',             -- how many of each kind were removed so far
    completed_at timestamptz,
    receipt      text                                     -- JSON with its signature, byte for byte
);
create unique index erasure_due on erasure (kind, pseudonyms) where completed_at is null;

-- Give each of the studies the value that opt-outs and erasures give it now.
create function withhold_studies(studies text[]) returns void language sql as $$
    update study set withheld = not withheld
    where study_instance_uid = any(studies) and withheld <> (
        with patient as (
            select study.patient_id
            union select o.patient_id from other_patient o where o.study_instance_uid = study.study_instance_uid),
        named as (
            select patient_id from patient
            union select alias from patient_alias join patient using (patient_id))
        select exists (select from opt_out join named using (patient_id))
            or exists (
                select from erasure
                where completed_at is null and (
                    kind = 'study' and study.study_instance_uid = any(pseudonyms)
                    or kind = 'patient' and pseudonyms && array(select patient_id from patient))))
$$;

create function studies_of_patient(patient text) returns text[] language sql stable as $$
    select array(
        select study_instance_uid from study where patient_id in (select patients_of(patient))
        union select study_instance_uid from other_patient where patient_id in (select patients_of(patient)))
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

create function withhold_erased() returns trigger language plpgsql as $$
declare
    found text[] := new.pseudonyms;
begin
    if new.kind = 'patient' then
        select coalesce(array_agg(study), '{}') into found
        from unnest(new.pseudonyms) patient, unnest(studies_of_patient(patient)) study;
    end if;
    perform withhold_studies(found);
    perform pg_notify('senogate_access', 'erasure');
    return null;
end
$$;
create trigger erasure_begins after insert on erasure for each row execute function withhold_erased();
create trigger erasure_ends after update of completed_at on erasure for each row execute function withhold_erased();

-- Which trained models learnt from a patient, and in which run. The federation adds rows.
create table training_use (
    patient_id text collate "C" not null,
    model      text not null,
    version    text not null,
    run        text not null,
    at         timestamptz not null default now(),
    primary key (patient_id, model, version, run)
);

-- What the crosswalk and the spool hold of a study and of a patient, by their pseudonyms.
alter table crosswalk add column study_instance_uid text collate "C", add column patient_id text collate "C";
update crosswalk set study_instance_uid = found.study, patient_id = found.patient_id
from (
    select study_instance_uid as uid, study_instance_uid as study, patient_id from study
    union all select series_instance_uid, study_instance_uid, patient_id from series join study using (study_instance_uid)
    union all select sop_instance_uid, study_instance_uid, patient_id from instance join study using (study_instance_uid)
) found
where pseudonym = uid;
create index crosswalk_by_study on crosswalk (study_instance_uid);
create index crosswalk_by_patient on crosswalk (patient_id);

alter table spool add column patient_id text collate "C";
update spool set patient_id = study.patient_id from study where study.study_instance_uid = spool.study_instance_uid;
create index spool_by_study on spool (study_instance_uid);
create index spool_by_patient on spool (patient_id);

-- Datasets are read in their own order, without the studies.
create function withhold_in_datasets() returns trigger language plpgsql as $$
begin
    update dataset_study set withheld = new.withheld where study_instance_uid = new.study_instance_uid;
    return null;
end
$$;
create trigger study_is_withheld after update on study
for each row when (old.withheld <> new.withheld) execute function withhold_in_datasets();
