-- Studies, and members of datasets, that change in one statement are counted, placed, summarised and told of together. A
-- row of counts that is changed once for each of them passes all its former versions each time, which none may remove
-- before the transaction ends. What changed is found by `except` and not by a join of what was and what is: the plan of
-- a join is kept from a statement that changed one row, and would be tried on each pair.

drop trigger study_changes on study;
drop trigger study_changes_place on study;
drop trigger study_is_searched on study;
drop trigger study_is_searched_anew on study;
drop trigger study_is_summarised on study;
drop trigger study_is_summarised_anew on study;
drop trigger study_is_withheld on study;
drop trigger study_moves on study;
drop trigger member_is_withheld on dataset_study;
drop trigger member_is_searched_anew on dataset_study;
drop function keep_study_day, keep_places, take_place, leave_place, turn_numbers, count_study, search_member_anew;

-- Counts of days and months.
create function keep_changed_days() returns trigger language plpgsql as $$
begin
    with counted as (
        select study_date, modality, sum(sign) as studies, sum(sign * number_of_series) as series,
            sum(sign * number_of_instances) as instances
        from (
            select -1 as sign, study_date, modalities, number_of_series, number_of_instances, withheld from before
            union all select 1, study_date, modalities, number_of_series, number_of_instances, withheld from after
            ) study, unnest(array_append(modalities, '')) modality
        where not withheld
        group by 1, 2
        having (sum(sign), sum(sign * number_of_series), sum(sign * number_of_instances)) <> (0, 0, 0)
    ), days as (
        insert into study_day
        select study_date, modality, studies, series, instances from counted order by modality, study_date
        on conflict (modality, study_date) do update set
            studies = study_day.studies + excluded.studies,
            series = study_day.series + excluded.series,
            instances = study_day.instances + excluded.instances
    )
    insert into study_month
    select left(study_date, 6), modality, sum(studies), sum(series), sum(instances)
    from counted group by 1, 2 order by 2, 1
    on conflict (modality, month) do update set
        studies = study_month.studies + excluded.studies,
        series = study_month.series + excluded.series,
        instances = study_month.instances + excluded.instances;
    return null;
end
$$;
create trigger studies_change after update on study referencing old table as before new table as after
for each statement execute function keep_changed_days();

-- Places of months, of which the caller holds the locks.
create function take_days(uids text[], dates text[]) returns void language sql as $$
    with came as (
        select uid, study_date, left(study_date, 6) as month from unnest(uids, dates) s (uid, study_date)
    ), free as materialized (
        select month, (select coalesce(max(place) + 1, 0) from study_place taken where taken.month = named.month) as place
        from (select distinct month from came) named
    )
    insert into study_place
    select uid, month, place + row_number() over (partition by month order by study_date, uid) - 1
    from came join free using (month);
    insert into day_places
    select study_date, month, place / 4096, bit_or(bit_of(place))
    from unnest(uids, dates) s (uid, study_date) join study_place on study_instance_uid = uid
    group by 1, 2, 3 order by 2, 1, 3
    on conflict (month, study_date, chunk) do update set members = day_places.members | excluded.members;
    insert into dataset_month
    select dataset, month, place / 4096, bit_or(bit_of(place))
    from unnest(uids) uid join study_place on study_instance_uid = uid join dataset_study using (study_instance_uid)
    where not dataset_study.withheld
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (dataset, month, chunk) do update set members = dataset_month.members | excluded.members
$$;

create function leave_days(uids text[], dates text[]) returns void language sql as $$
    update day_places kept set members = kept.members & ~gone.members
    from (
        select month, study_date, place / 4096 as chunk, bit_or(bit_of(place)) as members
        from unnest(uids, dates) s (uid, study_date) join study_place on study_instance_uid = uid group by 1, 2, 3) gone
    where (kept.month, kept.study_date, kept.chunk) = (gone.month, gone.study_date, gone.chunk);
    update dataset_month kept set members = kept.members & ~gone.members
    from (
        select month, place / 4096 as chunk, bit_or(bit_of(place)) as members
        from unnest(uids) uid join study_place on study_instance_uid = uid group by 1, 2) gone
    where (kept.month, kept.chunk) = (gone.month, gone.chunk) and bit_count(kept.members & gone.members) > 0;
    delete from study_place where study_instance_uid = any(uids)
$$;

create or replace function take_places() returns trigger language plpgsql as $$
begin
    perform hold_months(array(select distinct left(study_date, 6) from changed));
    perform take_days(array_agg(study_instance_uid), array_agg(study_date)) from changed having count(*) > 0;
    perform turn_numbers_of(array_agg(study_instance_uid), array_agg(number_of_series), array_agg(number_of_instances))
    from changed having count(*) > 0;
    return null;
end
$$;

create or replace function leave_places() returns trigger language plpgsql as $$
begin
    perform hold_months(array(select distinct left(study_date, 6) from changed));
    perform turn_numbers_of(array_agg(study_instance_uid), array_agg(number_of_series), array_agg(number_of_instances))
    from changed having count(*) > 0;
    perform leave_days(array_agg(study_instance_uid), array_agg(study_date)) from changed having count(*) > 0;
    return null;
end
$$;

create function move_places() returns trigger language plpgsql as $$
begin
    perform turn_numbers_of(array_agg(study_instance_uid), array_agg(number_of_series), array_agg(number_of_instances))
    from (
        select study_instance_uid, study_date, number_of_series, number_of_instances from before
        except select study_instance_uid, study_date, number_of_series, number_of_instances from after) was
    having count(*) > 0;
    if exists (select study_instance_uid, study_date from before except select study_instance_uid, study_date from after) then
        perform hold_months(array(select left(study_date, 6) from before union select left(study_date, 6) from after));
        perform leave_days(array_agg(study_instance_uid), array_agg(study_date))
        from (select study_instance_uid, study_date from before except select study_instance_uid, study_date from after) was;
        perform take_days(array_agg(study_instance_uid), array_agg(study_date))
        from (select study_instance_uid, study_date from after except select study_instance_uid, study_date from before) is_now;
        update dataset_study member set study_date = is_now.study_date
        from (select study_instance_uid, study_date from after except select study_instance_uid, study_date from before) is_now
        where member.study_instance_uid = is_now.study_instance_uid;
    end if;
    perform turn_numbers_of(array_agg(study_instance_uid), array_agg(number_of_series), array_agg(number_of_instances))
    from (
        select study_instance_uid, study_date, number_of_series, number_of_instances from after
        except select study_instance_uid, study_date, number_of_series, number_of_instances from before) is_now
    having count(*) > 0;
    return null;
end
$$;
create trigger studies_move after update on study referencing old table as before new table as after
for each statement execute function move_places();
drop function move_in_datasets;

-- Questions for counts. Facts are of instances too, so that a study is named even where nothing of its own changed.
create function search_studies_anew() returns trigger language plpgsql as $$
begin
    insert into search_stale select study_instance_uid, false from changed;
    return null;
end
$$;
create trigger studies_are_searched after insert on study referencing new table as changed
for each statement execute function search_studies_anew();
create trigger studies_are_searched_anew after update on study referencing new table as changed
for each statement execute function search_studies_anew();
create trigger studies_are_searched_no_more after delete on study referencing old table as changed
for each statement execute function search_studies_anew();

-- The worklist page. How many images a study has, and which stands for it: one of few frames before one of many, for
-- processing never before one for presentation, then the middle one.
create function images_of(study text) returns table (number bigint, picture text) language sql stable as $$
    select coalesce(max(all_of_them), 0), max(sop_instance_uid) filter (where rank = 1 and place = alike / 2 + 1)
    from (
        select sop_instance_uid, rank, all_of_them, count(*) over (partition by rank) as alike,
            row_number() over (
                partition by rank order by series_number, series_instance_uid, instance_number, sop_instance_uid) as place
        from (
            select i.sop_instance_uid, i.series_instance_uid, i.instance_number, s.series_number, count(*) over () as all_of_them,
                rank() over (order by i.attributes #>> '{00080068,Value,0}' = 'FOR PROCESSING' nulls first, i.number_of_frames > 1)
            from instance i join series s using (series_instance_uid)
            where i.study_instance_uid = study and i.is_image) ranked) placed
$$;
drop function picture_of;

drop function summarise_study;
create function summarise_studies() returns trigger language plpgsql as $$
begin
    insert into study_summary (study_instance_uid, study_date, patient_id, withheld, modalities)
    select study_instance_uid, study_date, patient_id, withheld, modalities from after order by study_instance_uid;
    perform tell_of_study(study_instance_uid) from after;
    return null;
end
$$;
create trigger studies_are_summarised after insert on study referencing new table as after
for each statement execute function summarise_studies();

create function summarise_studies_anew() returns trigger language plpgsql as $$
begin
    update study_summary kept set
        study_date = is_now.study_date, patient_id = is_now.patient_id, withheld = is_now.withheld,
        modalities = is_now.modalities, number_of_images = images.number, picture = images.picture
    from (
        select study_instance_uid, study_date, withheld, modalities, number_of_instances, patient_id, study_description from after
        except
        select study_instance_uid, study_date, withheld, modalities, number_of_instances, patient_id, study_description from before
        ) is_now, lateral images_of(is_now.study_instance_uid) images
    where kept.study_instance_uid = is_now.study_instance_uid;
    perform tell_of_study(study_instance_uid)
    from (
        select study_instance_uid from (
            select study_instance_uid, study_date, modalities, number_of_instances, patient_id, study_description from after
            except
            select study_instance_uid, study_date, modalities, number_of_instances, patient_id, study_description from before
            ) changed
        except
        select study_instance_uid from (
            select study_instance_uid, withheld from after except select study_instance_uid, withheld from before) turned
        ) told;
    perform tell_of_study('')
    where exists (select study_instance_uid, withheld from after except select study_instance_uid, withheld from before);
    return null;
end
$$;
create trigger studies_are_summarised_anew after update on study referencing old table as before new table as after
for each statement execute function summarise_studies_anew();

-- Members of datasets.
create or replace function withhold_in_datasets() returns trigger language plpgsql as $$
begin
    perform withhold_in_dataset(array_agg(study_instance_uid))
    from (select study_instance_uid, withheld from after except select study_instance_uid, withheld from before) turned
    having count(*) > 0;
    return null;
end
$$;
create trigger studies_are_withheld after update on study referencing old table as before new table as after
for each statement execute function withhold_in_datasets();

create or replace function withhold_members() returns trigger language plpgsql as $$
begin
    update dataset_month kept set members = kept.members & ~hidden.members
    from (
        select dataset, month, place / 4096 as chunk, bit_or(bit_of(place)) as members
        from (
            select study_instance_uid, dataset, withheld from after
            except select study_instance_uid, dataset, withheld from before) turned join study_place using (study_instance_uid)
        where withheld group by 1, 2, 3) hidden
    where kept.dataset = hidden.dataset and kept.month = hidden.month and kept.chunk = hidden.chunk;
    insert into dataset_month
    select dataset, month, place / 4096, bit_or(bit_of(place))
    from (
        select study_instance_uid, dataset, withheld from after
        except select study_instance_uid, dataset, withheld from before) turned join study_place using (study_instance_uid)
    where not withheld
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (dataset, month, chunk) do update set members = dataset_month.members | excluded.members;
    insert into search_stale
    select study_instance_uid, true from (
        select study_instance_uid, dataset, withheld from after
        except select study_instance_uid, dataset, withheld from before) turned;
    return null;
end
$$;
create trigger members_are_withheld after update on dataset_study referencing old table as before new table as after
for each statement execute function withhold_members();

-- Studies that came in one statement, until the transaction ends: each is then looked for among those who opted out, and
-- all of them in one statement. No row is ever committed.
create table arrival (
    number  bigint primary key generated always as identity,
    studies text[] collate "C" not null
);

create function note_arrival() returns trigger language plpgsql as $$
begin
    insert into arrival (studies) select array_agg(study_instance_uid) from changed having count(*) > 0;
    return null;
end
$$;
create trigger studies_arrive after insert on study referencing new table as changed
for each statement execute function note_arrival();

create function withhold_arrivals() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(1577713680);
    perform withhold_studies(new.studies);
    if exists (select from dataset where consent_scope is not null) then
        perform withhold_in_dataset(new.studies);
    end if;
    delete from arrival where number = new.number;
    return null;
end
$$;
create constraint trigger studies_are_looked_for after insert on arrival deferrable initially deferred
for each row execute function withhold_arrivals();
drop trigger study_arrives on study;

-- Values are compressed a tenth as long by LZ4, which not every PostgreSQL was built with, and read faster.
do $$
declare
    kept text;
begin
    foreach kept in array array['attributes', 'dicom_json', 'metadata'] loop
        execute format('alter table instance alter column %I set compression lz4', kept);
    end loop;
exception when feature_not_supported then
    null;
end
$$;
