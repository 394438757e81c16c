-- What the worklist page shows of a study and is filtered and sorted by, kept beside the study as things change; what
-- each person has read; and who is told of it.

create table study_summary (
    study_instance_uid text collate "C" primary key references study on delete cascade,
    number           integer not null generated always as identity,
    study_date       text collate "C" not null,
    patient_id       text collate "C" not null,
    withheld         boolean not null,
    modalities       text[] not null,
    number_of_images integer not null default 0,
    picture          text collate "C",               -- the instance whose thumbnail stands for the study
    states           text[] not null default '{}',   -- of its readings, as density:done, each once
    phantoms         text[] not null default '{}',   -- tasks whose model was trained on phantoms
    density          text collate "C" not null default '',   -- a, b, c, d
    score            double precision,               -- the highest of a lesion, 0 to 1
    risk             double precision,               -- within five years, in percent
    quality          text not null default '',       -- what the PGMI category of the exam means
    arrived_at       timestamptz not null default now(),
    arrived_in       xid8 not null default pg_current_xact_id()   -- the transaction: what a page has not seen yet is told by it
);

-- Pages in the order of searches; what a page is filtered by lies in the index.
create index study_summary_by_date on study_summary (study_date desc, study_instance_uid desc)
    include (number, modalities, states, density, score) where not withheld;
create index study_summary_by_patient on study_summary (patient_id text_pattern_ops);
create index study_summary_by_state on study_summary using gin (states) where not withheld;
create index study_summary_by_score on study_summary (score desc, study_date desc, study_instance_uid desc)
    where not withheld and score is not null;
create index study_summary_by_arrival on study_summary (arrived_at desc, study_instance_uid desc) where not withheld;
create index study_summary_by_transaction on study_summary (arrived_in);

-- What a person has opened, and not set back to unread: a bit for each study, so that a list of those that are not is
-- found along an index, however many they are. Bits are counted as get_bit does.
create table study_reader (
    subject text collate "C" primary key,
    studies bytea not null
);
alter table study_reader alter column studies set storage external;

create function turn_bit(bits bytea, place integer, is_set boolean) returns bytea language sql immutable as $$
    select set_bit(
        bits || decode(repeat('00', greatest(place / 8 - length(bits) + 1, 0)), 'hex'), place, is_set::integer)
$$;

create function has_bit(bits bytea, place integer) returns boolean language sql immutable as $$
    select case when place < 8 * length(bits) then get_bit(bits, place) = 1 else false end
$$;

-- Gateways are told which study changed, and for whom alone if not for everybody; of one that has gone, or is withheld or
-- given back, only that there is one.
create function tell_of_study(study text) returns void language sql as $$
    select pg_notify('senogate_studies', study)
$$;

-- An image of few frames before one of many, for processing never before one for presentation, then the middle one.
create function picture_of(study text) returns text language sql stable as $$
    with image as (
        select sop_instance_uid,
            row_number() over (order by series_number, series_instance_uid, instance_number, sop_instance_uid) as place,
            count(*) over () as number
        from (
            select i.*, s.series_number,
                rank() over (order by i.attributes #>> '{00080068,Value,0}' = 'FOR PROCESSING' nulls first, number_of_frames > 1)
            from instance i join series s using (series_instance_uid)
            where i.study_instance_uid = study and i.is_image) ranked
        where rank = 1)
    select sop_instance_uid from image where place = number / 2 + 1
$$;

create function summarise_study() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into study_summary (study_instance_uid, study_date, patient_id, withheld, modalities)
        values (new.study_instance_uid, new.study_date, new.patient_id, new.withheld, new.modalities);
    else
        update study_summary set
            study_date = new.study_date, patient_id = new.patient_id, withheld = new.withheld, modalities = new.modalities,
            number_of_images = (
                select count(*) from instance where study_instance_uid = new.study_instance_uid and is_image),
            picture = picture_of(new.study_instance_uid)
        where study_instance_uid = new.study_instance_uid;
    end if;
    perform tell_of_study(case when tg_op = 'UPDATE' and old.withheld <> new.withheld then '' else new.study_instance_uid end);
    return null;
end
$$;
create trigger study_is_summarised after insert on study for each row execute function summarise_study();
create trigger study_is_summarised_anew after update on study
for each row when (
    (old.study_date, old.withheld, old.modalities, old.number_of_instances, old.patient_id, old.study_description)
    is distinct from (new.study_date, new.withheld, new.modalities, new.number_of_instances, new.patient_id, new.study_description))
execute function summarise_study();

create function tell_of_removal() returns trigger language plpgsql as $$
begin
    perform tell_of_study('');
    return null;
end
$$;
create trigger study_has_gone after delete on study for each statement execute function tell_of_removal();

-- Findings are those of archive/findings.py. What a shadow answers is told nobody.
create function density_of(findings jsonb) returns text language sql immutable as $$
    select likelihood ->> 'label'
    from jsonb_path_query(findings, 'lax $.findings.evaluations[*] ? (@.target.level == "exam")') read,
        jsonb_path_query(read, 'lax $.likelihoods[*]') likelihood
    where likelihood -> 'code' = read -> 'value'
    limit 1
$$;

create function summarise_readings(study text) returns void language sql as $$
    update study_summary set (states, phantoms, density, score, risk, quality) = (
        select
            coalesce(array_agg(distinct task || ':' || state), '{}'),
            coalesce(array_agg(distinct task)
                filter (where findings #>> '{findings,model,trained_on}' ilike '%phantom%'), '{}'),
            coalesce(max(density_of(findings)) filter (where task = 'density'), ''),
            max((select max((found #>> '{}')::double precision)
                from jsonb_path_query(findings, 'lax $.findings.lesions[*].score') found)),
            max((jsonb_path_query_first(
                findings, 'lax $.findings.measurements[*] ? (@.concept.value == "risk-5y").value') #>> '{}')::double precision),
            coalesce(max(jsonb_path_query_first(findings, 'lax $.findings.evaluations[*]
                ? (@.target.level == "exam" && @.concept.value == "pgmi").value.meaning') #>> '{}'), '')
        from (
            select task, state, case when state = 'done' then findings end as findings
            from reading where study_instance_uid = study and not shadow) told)
    where study_instance_uid = study
$$;

-- At the end of the transaction, which has locked all the readings by then that it changes.
create function summarise_reading() returns trigger language plpgsql as $$
declare
    study text := case when tg_op = 'DELETE' then old.study_instance_uid else new.study_instance_uid end;
begin
    perform summarise_readings(study);
    perform tell_of_study(study);
    return null;
end
$$;
create constraint trigger reading_comes after insert on reading deferrable initially deferred
for each row when (not new.shadow) execute function summarise_reading();
create constraint trigger reading_goes after delete on reading deferrable initially deferred
for each row when (not old.shadow) execute function summarise_reading();
create constraint trigger reading_changes after update on reading deferrable initially deferred
for each row when (
    not new.shadow
    and (old.state, old.attempts, old.reason, old.changed_at) is distinct from (new.state, new.attempts, new.reason, new.changed_at))
execute function summarise_reading();

-- Gateways end at once what they still send to who has signed out.
create function tell_of_sign_out() returns trigger language plpgsql as $$
begin
    perform pg_notify('senogate_sessions', encode(old.id_sha256, 'hex'));
    return null;
end
$$;
create trigger session_ends after delete on session for each row execute function tell_of_sign_out();

-- What is here already.
insert into study_summary (
    study_instance_uid, study_date, patient_id, withheld, modalities, number_of_images, picture, arrived_at)
select study_instance_uid, study_date, patient_id, withheld, modalities, coalesce(images, 0),
    picture_of(study_instance_uid), indexed_at
from study left join (
    select study_instance_uid, count(*) as images from instance where is_image group by 1) counted
    using (study_instance_uid);
select count(summarise_readings(study_instance_uid)) from (select distinct study_instance_uid from reading) read;
