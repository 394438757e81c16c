-- What the catalogue says of each dataset: what it holds, counted now and then, and what a steward wrote.

create table holdings (
    dataset     integer primary key,   -- as in `dataset`; 0 is everything
    counted_at  timestamptz not null default now(),
    content     jsonb not null,        -- archive/holdings.py
    published   jsonb not null         -- of that what anybody may know
);

create table catalogue_record (
    dataset      integer primary key,
    fields       jsonb not null,       -- what a steward wrote, by the names of archive/catalogue.py
    edited_at    timestamptz not null default now(),
    edited_by    text not null,
    published_at timestamptz           -- null: stewards alone see the record
);

