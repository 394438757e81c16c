-- Counts of whole months beside those of days, so that a page deep in a list of many years passes some hundred counts
-- and not thousands. A date that is shorter than a month's six characters is a month of its own.

create table study_month (
    month     text collate "C" not null,
    modality  text collate "C" not null,   -- as in study_day
    studies   bigint not null,
    series    bigint not null,
    instances bigint not null,
    primary key (modality, month)
);

create or replace function count_studies() returns void language sql as $$
    delete from study_day;
    insert into study_day
    select study_date, modality, count(*), sum(number_of_series), sum(number_of_instances)
    from study, unnest(array_append(modalities, '')) modality
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
    order by modality
    on conflict (modality, study_date) do update set
        studies = study_day.studies + excluded.studies,
        series = study_day.series + excluded.series,
        instances = study_day.instances + excluded.instances;
    insert into study_month
    select left(which.study_date, 6), modality, sign, sign * which.number_of_series, sign * which.number_of_instances
    from unnest(array_append(which.modalities, '')) modality
    order by modality
    on conflict (modality, month) do update set
        studies = study_month.studies + excluded.studies,
        series = study_month.series + excluded.series,
        instances = study_month.instances + excluded.instances
$$;

select count_studies();
