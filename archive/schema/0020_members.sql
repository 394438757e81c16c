-- Of a hub: whom it has invited, and who takes part or took part in its federation.

-- The code of an invitation is stored nowhere.
create table invitation (
    number      integer generated always as identity primary key,
    code_sha256 bytea not null unique,
    name        text collate "C" not null,    -- what the site will be called
    created_at  timestamptz not null default now(),
    created_by  text not null,
    expires_at  timestamptz not null,
    used_at     timestamptz,
    withdrawn_at timestamptz
);
create unique index one_invitation on invitation (name) where used_at is null and withdrawn_at is null;

-- Who has left or was revoked stays here, for what it signed.
create table member (
    number       integer generated always as identity primary key,
    name         text collate "C" not null,
    state        text not null check (state in ('requested', 'active', 'revoked', 'left')),
    site_key     bytea not null check (length(site_key) = 32),  -- Ed25519, of its tokens and statements
    node_key     bytea not null,                                -- of its SuperNode, as Flower sends it
    invitation   integer not null unique references invitation,
    requested_at timestamptz not null default now(),
    approved_at  timestamptz,
    approved_by  text,
    ended_at     timestamptz
);
create unique index one_member on member (name) where state in ('requested', 'active');
create unique index one_member_of_site_key on member (site_key) where state in ('requested', 'active');
create unique index one_member_of_node_key on member (node_key) where state in ('requested', 'active');
create index member_by_name on member (name, number);

-- Whoever relies on a membership hears of its changes at once.
create function notify_members() returns trigger language plpgsql as $$
begin
    perform pg_notify('senogate_members', coalesce(new.name, old.name));
    return null;
end $$;
create trigger member_changed after insert or update or delete on member
    for each row execute function notify_members();
