-- How many studies, series and instances of some datasets lie in a month or on a day, also of several datasets that
-- have studies in common: sets of bits, so that a page deep in a list under a permit is found by counting, and not by
-- passing what lies before it. Each study of a month has a place there; 4096 places are a chunk.

create table study_place (
    study_instance_uid text collate "C" primary key,
    month              text collate "C" not null,   -- the first six characters of the study's date
    place              integer not null,            -- 0, 1, 2, ... as they came; one that is left is given again
    unique (month, place)
);

-- Which places of a chunk are of studies that a dataset shows.
create table dataset_month (
    dataset integer not null references dataset,
    month   text collate "C" not null,
    chunk   integer not null,
    members bit(4096) not null,
    primary key (dataset, month, chunk)
);

-- Which are of a day.
create table day_places (
    study_date text collate "C" not null,
    month      text collate "C" not null,
    chunk      integer not null,
    members    bit(4096) not null,
    primary key (month, study_date, chunk)
);

-- Which are of studies whose number of series, or of instances, has this bit.
create table month_numbers (
    month   text collate "C" not null,
    chunk   integer not null,
    level   text collate "C" not null,   -- series, instances
    power   integer not null,            -- of two
    members bit(4096) not null,
    primary key (month, chunk, level, power)
);

create function bit_of(place integer) returns bit language sql immutable as $$
    select set_bit(0::bit(4096), place % 4096, 1)
$$;

create function count_in_datasets() returns void language sql as $$
    delete from study_place;
    delete from dataset_month;
    delete from day_places;
    delete from month_numbers;
    insert into study_place
    select study_instance_uid, month, row_number() over (partition by month order by study_date, study_instance_uid) - 1
    from (select study_instance_uid, study_date, left(study_date, 6) as month from study) dated;
    insert into day_places
    select study_date, month, place / 4096, bit_or(bit_of(place))
    from study_place join study using (study_instance_uid) group by 1, 2, 3;
    insert into month_numbers
    select month, place / 4096, level, power, bit_or(bit_of(place))
    from study_place join study using (study_instance_uid),
        lateral (values ('series', number_of_series), ('instances', number_of_instances)) counted (level, number),
        generate_series(0, 30) power
    where number >> power & 1 = 1
    group by 1, 2, 3, 4;
    insert into dataset_month
    select dataset, month, place / 4096, bit_or(bit_of(place))
    from study_place join dataset_study using (study_instance_uid) where not withheld group by 1, 2, 3
$$;

-- What has a bit loses it, and what has not gets it.
create function turn_numbers(which study_place, series integer, instances integer) returns void language sql as $$
    insert into month_numbers
    select which.month, which.place / 4096, level, power, bit_of(which.place)
    from (values ('series', series), ('instances', instances)) counted (level, number), generate_series(0, 30) power
    where number >> power & 1 = 1
    order by level, power
    on conflict (month, chunk, level, power) do update set members = month_numbers.members # excluded.members
$$;

create function take_place(which study) returns void language plpgsql as $$
declare
    taken study_place;
begin
    perform pg_advisory_xact_lock(1577713681, hashtext(left(which.study_date, 6)));
    insert into study_place
    select which.study_instance_uid, left(which.study_date, 6), coalesce(max(place) + 1, 0)
    from study_place where month = left(which.study_date, 6)
    returning * into taken;
    insert into day_places values (which.study_date, taken.month, taken.place / 4096, bit_of(taken.place))
    on conflict (month, study_date, chunk) do update set members = day_places.members | excluded.members;
    perform turn_numbers(taken, which.number_of_series, which.number_of_instances);
    insert into dataset_month
    select dataset, taken.month, taken.place / 4096, bit_of(taken.place)
    from dataset_study where study_instance_uid = which.study_instance_uid and not withheld
    order by dataset
    on conflict (dataset, month, chunk) do update set members = dataset_month.members | excluded.members;
end
$$;

create function leave_place(which study) returns void language plpgsql as $$
declare
    was study_place;
begin
    delete from study_place where study_instance_uid = which.study_instance_uid returning * into was;
    perform turn_numbers(was, which.number_of_series, which.number_of_instances);
    update day_places set members = set_bit(members, was.place % 4096, 0)
    where month = was.month and study_date = which.study_date and chunk = was.place / 4096;
    update dataset_month set members = set_bit(members, was.place % 4096, 0)
    where month = was.month and chunk = was.place / 4096 and get_bit(members, was.place % 4096) = 1;
end
$$;

create function keep_places() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.study_date = new.study_date then
        perform turn_numbers(study_place, old.number_of_series # new.number_of_series,
            old.number_of_instances # new.number_of_instances)
        from study_place where study_instance_uid = new.study_instance_uid;
        return null;
    end if;
    if tg_op <> 'INSERT' then perform leave_place(old); end if;
    if tg_op <> 'DELETE' then perform take_place(new); end if;
    return null;
end
$$;
create trigger study_has_place after insert or delete on study for each row execute function keep_places();
create trigger study_changes_place after update on study
for each row when (
    (old.study_date, old.number_of_series, old.number_of_instances)
    is distinct from (new.study_date, new.number_of_series, new.number_of_instances))
execute function keep_places();

create function show_members() returns trigger language plpgsql as $$
begin
    insert into dataset_month
    select dataset, month, place / 4096, bit_or(bit_of(place))
    from come join study_place using (study_instance_uid) where not withheld
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (dataset, month, chunk) do update set members = dataset_month.members | excluded.members;
    return null;
end
$$;
create trigger members_come after insert on dataset_study referencing new table as come
for each statement execute function show_members();

create function hide_members() returns trigger language plpgsql as $$
begin
    update dataset_month kept set members = kept.members & ~hidden.members
    from (
        select dataset, month, place / 4096 as chunk, bit_or(bit_of(place)) as members
        from gone join study_place using (study_instance_uid) group by 1, 2, 3) hidden
    where kept.dataset = hidden.dataset and kept.month = hidden.month and kept.chunk = hidden.chunk;
    return null;
end
$$;
create trigger members_go after delete on dataset_study referencing old table as gone
for each statement execute function hide_members();

create function withhold_members() returns trigger language plpgsql as $$
begin
    update dataset_month kept
    set members = case when new.withheld then set_bit(members, place % 4096, 0) else set_bit(members, place % 4096, 1) end
    from study_place
    where study_instance_uid = new.study_instance_uid
        and kept.dataset = new.dataset and kept.month = study_place.month and kept.chunk = place / 4096;
    if not found and not new.withheld then
        insert into dataset_month
        select new.dataset, month, place / 4096, bit_of(place)
        from study_place where study_instance_uid = new.study_instance_uid;
    end if;
    return null;
end
$$;
create trigger member_is_withheld after update on dataset_study
for each row when (old.withheld <> new.withheld) execute function withhold_members();

select count_in_datasets();
