-- What searches need beyond the first schema: keys of the instance level, and how many studies, series and instances
-- lie on each day, so that a page deep in the list is found without passing all before it, and what has gone.

alter table instance add column attributes jsonb not null default '{}';   -- DICOM JSON of what can be matched
update follow_position set sequence = 0;   -- the follower fills it from the instances themselves

-- Studies, series and instances that were here once. One that came again is found before it is looked for here.
create table deleted (
    uid        text collate "C" primary key,
    deleted_at timestamptz not null default now()
);

drop index study_by_date;
create index study_by_date on study (study_date desc, study_instance_uid desc)
    include (number_of_series, number_of_instances);

-- The order of searches begins with study_date; these are counts of that order's parts.
create table study_day (
    study_date text collate "C" not null,
    modality   text collate "C" not null,   -- of ModalitiesInStudy; empty: whatever the study's modalities
    studies    bigint not null,
    series     bigint not null,
    instances  bigint not null,
    primary key (modality, study_date)
);

create function count_studies() returns void language sql as $$
    delete from study_day;
    insert into study_day
    select study_date, modality, count(*), sum(number_of_series), sum(number_of_instances)
    from study, unnest(array_append(modalities, '')) modality
    group by study_date, modality
$$;

create function count_study(which study, sign integer) returns void language sql as $$
    insert into study_day
    select which.study_date, modality, sign, sign * which.number_of_series, sign * which.number_of_instances
    from unnest(array_append(which.modalities, '')) modality
    order by modality
    on conflict (modality, study_date) do update set
        studies = study_day.studies + excluded.studies,
        series = study_day.series + excluded.series,
        instances = study_day.instances + excluded.instances
$$;

create function keep_study_day() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then perform count_study(old, -1); end if;
    if tg_op <> 'DELETE' then perform count_study(new, 1); end if;
    return null;
end
$$;
create trigger study_comes_or_goes after insert or delete on study
for each row execute function keep_study_day();
create trigger study_changes after update on study
for each row when (
    (old.study_date, old.modalities, old.number_of_series, old.number_of_instances)
    is distinct from (new.study_date, new.modalities, new.number_of_series, new.number_of_instances))
execute function keep_study_day();

select count_studies();
