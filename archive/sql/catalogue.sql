-- name: node
select fields, revision from catalogue_record where dataset = -1

-- name: edit
-- Nothing comes back where what is written is not at the revision that was read; 0: nothing is written yet.
insert into catalogue_record as kept (dataset, fields, edited_by) values (%(number)s, %(fields)s, %(by)s)
on conflict (dataset) do update
    set fields = excluded.fields, edited_at = now(), edited_by = excluded.edited_by, revision = kept.revision + 1
    where %(revision)s::integer is null or kept.revision = %(revision)s
returning revision

-- name: withdraw
update catalogue_record set published_at = null, withdrawn_at = case when published_at is null then withdrawn_at else now() end
where dataset = %(number)s

-- name: serve
update catalogue_record
set published_at = coalesce(published_at, now()), version = %(version)s, findings = '[]', checked_at = null
where dataset = %(number)s

-- name: note
-- What is wrong with what everybody sees; a row where that is news.
update catalogue_record r set findings = %(findings)s, checked_at = now() from catalogue_record before
where r.dataset = %(number)s and before.dataset = r.dataset
returning before.findings

-- name: unchecked
select checked_at is null or checked_at < greatest(
    now() - interval '1 day', (select max(issued_at) from record_version v where v.dataset = r.dataset),
    (select counted_at from holdings h where h.dataset = r.dataset),
    (select edited_at from catalogue_record node where node.dataset = -1))
from catalogue_record r where dataset = %(number)s

-- name: find
-- The published datasets that have all words and of each facet one of the values wanted: how many there are, those of a
-- page, and how many of all published ones have each value of each facet.
with listed as materialized (
    select r.dataset, v.fields, h.published
    from catalogue_record r join dataset d on d.number = r.dataset
        join record_version v on v.name = d.name and v.version = r.version left join holdings h on h.dataset = r.dataset
    where r.published_at is not null and d.deleted_at is null and d.version = 0 and d.number > 0
), matching as materialized (
    select dataset, fields ->> 'title' as title from listed
    where not exists (
            select from unnest(%(words)s::text[]) word
            where strpos(lower(concat_ws(' ', fields ->> 'title', fields ->> 'description', fields ->> 'keywords')), word) = 0)
        and (cardinality(%(modalities)s::text[]) = 0 or published -> 'modalities' ?| %(modalities)s)
        and (cardinality(%(manufacturers)s::text[]) = 0 or published -> 'manufacturers' ?| %(manufacturers)s)
        and (cardinality(%(densities)s::text[]) = 0 or published -> 'densities' ?| %(densities)s)
)
select
    (select count(*) from matching),
    array(select dataset from matching order by title, dataset limit %(limit)s offset %(offset)s),
    (select coalesce(jsonb_object_agg(facet, held), '{}') from (
        select facet, jsonb_object_agg(value, number order by value) as held from (
            select facet, value, count(*) as number
            from listed, unnest(array['modalities', 'manufacturers', 'densities']) facet,
                jsonb_object_keys(published -> facet) value
            group by 1, 2) counted
        group by 1) facets)

-- name: listed
select d.number, d.name, v.fields, null::jsonb, h.published, v.version, v.frozen, v.sha256, v.notes, r.findings,
    r.revision, d.created_at, v.issued_at, r.published_at
from unnest(%(numbers)s::integer[]) with ordinality wanted (number, place) join dataset d using (number)
    join catalogue_record r on r.dataset = d.number
    join record_version v on v.name = d.name and v.version = r.version left join holdings h on h.dataset = d.number
order by place

-- name: addresses
-- The names of all published datasets, and when any record changed last.
select coalesce(array_agg(d.name order by d.name), '{}'), max(v.issued_at)
from catalogue_record r join dataset d on d.number = r.dataset
    join record_version v on v.name = d.name and v.version = r.version
where r.published_at is not null and d.deleted_at is null and d.version = 0 and d.number > 0

-- name: dates
-- When a record was issued for the first time, and for the last.
select min(issued_at), max(issued_at) from record_version

-- name: served
-- What everybody sees.
select d.number, d.name, v.fields, h.content, h.published, v.version, v.frozen, v.sha256, v.notes, r.findings,
    r.revision, d.created_at, v.issued_at, r.published_at
from catalogue_record r join dataset d on d.number = r.dataset
    join record_version v on v.name = d.name and v.version = r.version left join holdings h on h.dataset = d.number
where r.published_at is not null and d.deleted_at is null and d.version = 0 and d.number > 0
    and (%(name)s::text is null or d.name = %(name)s)
order by d.name

-- name: written
-- What stewards write, published or not, as the version that it would be.
select d.number, d.name, r.fields, h.content, h.published,
    coalesce((select max(v.version) from record_version v where v.name = d.name), 0) + 1,
    coalesce(f.version, 0), coalesce(f.sha256, ''), '', coalesce(r.findings, '[]'),
    coalesce(r.revision, 0), d.created_at, greatest(d.created_at, r.edited_at), r.published_at
from dataset d left join catalogue_record r on r.dataset = d.number left join holdings h on h.dataset = d.number
    left join lateral (
        select version, sha256 from dataset frozen
        where frozen.name = d.name and frozen.deleted_at is null and frozen.version > 0
        order by version desc limit 1) f on true
where d.deleted_at is null and d.version = 0 and d.number > 0 and (%(name)s::text is null or d.name = %(name)s)
order by d.name

-- name: hold
select from catalogue_record join dataset on dataset.number = catalogue_record.dataset
where name = %(name)s and deleted_at is null for update of catalogue_record

-- name: issue
insert into record_version (name, version, dataset, fields, node, numbers, frozen, sha256, notes, issued_by)
select %(name)s, coalesce(max(version), 0) + 1, %(dataset)s, %(fields)s, %(node)s, %(numbers)s, %(frozen)s, %(sha256)s,
    %(notes)s, %(by)s
from record_version where name = %(name)s
returning version

-- name: reissue
-- A dataset was frozen: what everybody sees of it says so.
with served as (
    select v.*, h.published
    from catalogue_record r join dataset d on d.number = r.dataset
        join record_version v on v.name = d.name and v.version = r.version left join holdings h on h.dataset = d.number
    where d.name = %(name)s and r.published_at is not null and d.deleted_at is null and d.version = 0
), made as (
    insert into record_version (name, version, dataset, fields, node, numbers, frozen, sha256, notes, issued_by)
    select name, (select max(version) from record_version v where v.name = served.name) + 1, dataset, fields, node,
        coalesce(published, numbers), %(frozen)s, %(sha256)s, %(notes)s, %(by)s
    from served
    returning dataset, version
)
update catalogue_record r set version = made.version from made where r.dataset = made.dataset

-- name: versions
-- Newest first, of a dataset that everybody sees.
select v.version, v.fields, v.node, v.numbers, v.frozen, v.sha256, v.notes, v.issued_at
from record_version v
where v.name = %(name)s and exists (
    select from catalogue_record r join dataset d on d.number = r.dataset
    where d.name = %(name)s and r.published_at is not null and d.deleted_at is null and d.version = 0)
order by v.version desc

-- name: tombstone
-- What was seen by everybody once and is not now: its title, its last version, and since when.
select v.fields ->> 'title', v.version, coalesce(d.deleted_at, r.withdrawn_at, v.issued_at)
from record_version v join dataset d on d.number = v.dataset left join catalogue_record r on r.dataset = v.dataset
where v.name = %(name)s
order by v.version desc limit 1
