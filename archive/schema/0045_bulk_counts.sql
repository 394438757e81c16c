-- Studies that come or go in one statement are counted together: a row of a day that is changed once for each of them
-- passes all its former versions each time, which none may remove before the transaction ends.

drop trigger study_comes_or_goes on study;
drop trigger study_has_place on study;

create function keep_study_days() returns trigger language plpgsql as $$
declare
    sign integer := case when tg_op = 'INSERT' then 1 else -1 end;
begin
    with counted as (
        select study_date, modality, count(*) as studies, sum(number_of_series) as series,
            sum(number_of_instances) as instances
        from changed, unnest(array_append(modalities, '')) modality
        where not withheld
        group by 1, 2
    ), days as (
        insert into study_day
        select study_date, modality, sign * studies, sign * series, sign * instances
        from counted order by modality, study_date
        on conflict (modality, study_date) do update set
            studies = study_day.studies + excluded.studies,
            series = study_day.series + excluded.series,
            instances = study_day.instances + excluded.instances
    )
    insert into study_month
    select left(study_date, 6), modality, sign * sum(studies), sign * sum(series), sign * sum(instances)
    from counted group by 1, 2 order by 2, 1
    on conflict (modality, month) do update set
        studies = study_month.studies + excluded.studies,
        series = study_month.series + excluded.series,
        instances = study_month.instances + excluded.instances;
    return null;
end
$$;
create trigger studies_come after insert on study referencing new table as changed
for each statement execute function keep_study_days();
create trigger studies_go after delete on study referencing old table as changed
for each statement execute function keep_study_days();

-- What has a bit loses it, and what has not gets it; of studies that have a place.
create function turn_numbers_of(uids text[], series integer[], instances integer[]) returns void language sql as $$
    insert into month_numbers
    select month, place / 4096, level, power, bit_or(bit_of(place))
    from unnest(uids, series, instances) s (uid, series, instances)
        join study_place on study_instance_uid = uid,
        lateral (values ('series', s.series), ('instances', s.instances)) counted (level, number),
        generate_series(0, 30) power
    where number >> power & 1 = 1
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (month, chunk, level, power) do update set members = month_numbers.members # excluded.members
$$;

-- Whoever gives places of a month, or takes them, does so alone.
create function hold_months(months text[]) returns void language plpgsql as $$
declare
    key integer;
begin
    for key in select distinct hashtext(month) from unnest(months) month order by 1 loop
        perform pg_advisory_xact_lock(1577713681, key);
    end loop;
end
$$;

create function take_places() returns trigger language plpgsql as $$
begin
    perform hold_months(array(select distinct left(study_date, 6) from changed));
    with free as materialized (
        select month, (select coalesce(max(place) + 1, 0) from study_place taken where taken.month = came.month) as place
        from (select distinct left(study_date, 6) as month from changed) came
    )
    insert into study_place
    select study_instance_uid, month,
        place + row_number() over (partition by month order by study_date, study_instance_uid) - 1
    from changed join free on month = left(study_date, 6);
    insert into day_places
    select study_date, month, place / 4096, bit_or(bit_of(place))
    from changed join study_place using (study_instance_uid)
    group by 1, 2, 3 order by 2, 1, 3
    on conflict (month, study_date, chunk) do update set members = day_places.members | excluded.members;
    perform turn_numbers_of(array_agg(study_instance_uid), array_agg(number_of_series), array_agg(number_of_instances))
    from changed;
    insert into dataset_month
    select dataset, month, place / 4096, bit_or(bit_of(place))
    from changed join study_place using (study_instance_uid) join dataset_study using (study_instance_uid)
    where not dataset_study.withheld
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (dataset, month, chunk) do update set members = dataset_month.members | excluded.members;
    return null;
end
$$;
create trigger studies_have_places after insert on study referencing new table as changed
for each statement execute function take_places();

create function leave_places() returns trigger language plpgsql as $$
begin
    perform hold_months(array(select distinct left(study_date, 6) from changed));
    perform turn_numbers_of(array_agg(study_instance_uid), array_agg(number_of_series), array_agg(number_of_instances))
    from changed;
    update day_places kept set members = kept.members & ~gone.members
    from (
        select month, study_date, place / 4096 as chunk, bit_or(bit_of(place)) as members
        from changed join study_place using (study_instance_uid) group by 1, 2, 3) gone
    where (kept.month, kept.study_date, kept.chunk) = (gone.month, gone.study_date, gone.chunk);
    update dataset_month kept set members = kept.members & ~gone.members
    from (
        select month, place / 4096 as chunk, bit_or(bit_of(place)) as members
        from changed join study_place using (study_instance_uid) group by 1, 2) gone
    where (kept.month, kept.chunk) = (gone.month, gone.chunk) and bit_count(kept.members & gone.members) > 0;
    delete from study_place using changed where study_place.study_instance_uid = changed.study_instance_uid;
    return null;
end
$$;
create trigger studies_leave_places after delete on study referencing old table as changed
for each statement execute function leave_places();
