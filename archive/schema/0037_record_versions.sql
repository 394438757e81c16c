-- What everybody sees of a dataset is a version of its record, which stays as it is; a steward writes beside it.

create table record_version (
    name      text collate "C" not null,   -- the dataset's; a later dataset of the name goes on counting
    version   integer not null,            -- 1, 2, ...
    dataset   integer not null references dataset,
    fields    jsonb not null,              -- as in catalogue_record
    node      jsonb not null,              -- what the node said of itself then
    numbers   jsonb not null,              -- what everybody could know of the numbers then
    frozen    integer not null default 0,  -- the dataset's newest frozen version then; 0: none
    sha256    text collate "C" not null default '',   -- of that
    notes     text not null default '',
    issued_at timestamptz not null default now(),
    issued_by text not null,
    primary key (name, version)
);

alter table catalogue_record
    add column revision     integer not null default 1,   -- of what is written: one more at each edit
    add column version      integer,                      -- that everybody sees, or saw last
    add column withdrawn_at timestamptz,
    add column findings     jsonb not null default '[]',  -- what is wrong with what everybody sees (gateway/catalogue/drift.py)
    add column checked_at   timestamptz;

-- Published numbers change once a day at most, and only with as many patients as hide each other.
alter table holdings
    add column basis   jsonb,                               -- the content of which `published` was made
    add column told_at timestamptz not null default now(),  -- when it was
    add column mark    text not null default '';            -- of the dataset's rows when they were counted
update holdings set basis = content;

insert into record_version (name, version, dataset, fields, node, numbers, frozen, sha256, issued_at, issued_by)
select d.name, 1, d.number, r.fields,
    coalesce((select fields from catalogue_record where dataset = -1), '{}'), coalesce(h.published, '{}'),
    coalesce(f.version, 0), coalesce(f.sha256, ''), greatest(r.edited_at, r.published_at), r.edited_by
from catalogue_record r join dataset d on d.number = r.dataset left join holdings h on h.dataset = d.number
    left join lateral (
        select version, sha256 from dataset frozen
        where frozen.name = d.name and frozen.deleted_at is null and frozen.version > 0
        order by version desc limit 1) f on true
where r.published_at is not null and d.deleted_at is null and d.version = 0 and d.number > 0;
update catalogue_record set version = 1
where dataset in (select dataset from record_version);
