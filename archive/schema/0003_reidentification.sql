-- Who opened which identity of the crosswalk, when and what for. Rows are added and never changed or taken away.
-- No identity is in them, only pseudonyms.
create table reidentification (
    number      bigint generated always as identity primary key,
    opened_at   timestamptz not null default clock_timestamp(),
    opened_by   text not null,
    pseudonym   text collate "C" not null,
    kind        text not null,
    reason      text not null check (btrim(reason) <> ''),
    was_opened  boolean not null   -- false: the key was another, or the row was altered
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are only ever added', tg_table_name using errcode = 'insufficient_privilege';
end
$$;
create trigger only_added before update or delete or truncate on reidentification
    for each statement execute function refuse_change();
