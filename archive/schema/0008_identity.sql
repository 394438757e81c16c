-- Who may sign in: programs with a secret, people with a password or by an issuer elsewhere; and how often anybody may ask.

alter table client
    add column previous_sha256   bytea,            -- the secret before the last rotation, which works until
    add column previous_until    timestamptz,
    add column certificate_bound boolean not null default false;  -- its tokens go with its certificate alone (RFC 8705)

-- People of the site's own, who sign in with a password.
create table account (
    name          text collate "C" primary key,
    password_hash text not null,                   -- Argon2id, as a PHC string
    created_at    timestamptz not null default now(),
    disabled_at   timestamptz
);

-- OpenID providers elsewhere whose tokens and sign-ins are taken.
create table issuer (
    name       text collate "C" primary key,       -- of the sign-in's address
    url        text collate "C" not null unique,   -- the `iss` of its tokens
    audience   text not null,                      -- the `aud` of its access tokens; empty: it has none for this site
    client_id  text not null,                      -- what this site is called there; empty: nobody signs in by it
    scope      text not null,                      -- what an access token allows that names no action of this site
    roles      jsonb not null,                     -- [{claim, value, role}]: who has the value in the claim has the role
    created_at timestamptz not null default now()
);

-- People who are signed in. The cookie's value is stored nowhere.
create table session (
    id_sha256    bytea primary key,
    subject      text collate "C" not null,
    roles        text[] not null,
    created_at   timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    expires_at   timestamptz not null
);
create index session_by_subject on session (subject);

-- Token buckets. A crash may empty the table, which fills every bucket.
create unlogged table bucket (
    name     text collate "C" primary key,
    tokens   double precision not null,
    taken_at timestamptz not null
);
create index bucket_by_age on bucket (taken_at);

-- Take up to `wanted` tokens: how many there were, and after how many seconds there will be one where there was none.
create function take_tokens(bucket_name text, wanted integer, per_second double precision, capacity double precision)
returns table (taken integer, wait double precision) language plpgsql as $$
declare
    available double precision;
begin
    insert into bucket values (bucket_name, capacity, clock_timestamp()) on conflict do nothing;
    if found then
        delete from bucket where taken_at < clock_timestamp() - interval '1 day';
    end if;
    select least(capacity, tokens + per_second * greatest(0, extract(epoch from clock_timestamp() - taken_at)))
        into available from bucket where name = bucket_name for update;
    taken := least(wanted, floor(available));
    wait := case when taken > 0 then 0 else (1 - available) / per_second end;
    update bucket set tokens = available - taken, taken_at = clock_timestamp() where name = bucket_name;
    return next;
end $$;

-- Whether who a credential speaks for may still act at all. An issuer's address has no '#'.
create function subject_is_active(subject text) returns boolean language sql stable as $$
    select case
        when subject = 'administrator' then true
        when subject like 'client:%' then exists (
            select from client where client_id = substr(subject, 8) and revoked_at is null)
        when subject like 'account:%' then exists (
            select from account where name = substr(subject, 9) and disabled_at is null)
        else exists (select from issuer where url = split_part(subject, '#', 1) and position('#' in subject) > 0)
    end
$$;

-- Gateways that remember what anybody may do forget it at once.
create function notify_access() returns trigger language plpgsql as $$
begin
    perform pg_notify('senogate_access', '');
    return null;
end $$;
create trigger client_changed after insert or update or delete or truncate on client
    for each statement execute function notify_access();
create trigger account_changed after insert or update or delete or truncate on account
    for each statement execute function notify_access();
create trigger issuer_changed after insert or update or delete or truncate on issuer
    for each statement execute function notify_access();
