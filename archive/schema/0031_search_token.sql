-- Tokens by which a federation's mediators ask for counts: `Authorization: Secret TOKEN`. A token itself is stored nowhere.
create table search_token (
    name         text collate "C" primary key,
    token_sha256 bytea not null unique,
    created_at   timestamptz not null default now(),
    created_by   text not null,
    revoked_at   timestamptz
);
create trigger search_token_changed after insert or update or delete or truncate on search_token
    for each statement execute function notify_access();
