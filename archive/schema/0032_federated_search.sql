-- Questions that a hub puts to its members, and what they say. Both live for seconds: one that is lost with PostgreSQL is
-- asked again.

create unlogged table federated_question (
    number     bigint generated always as identity primary key,
    question   text collate "C" not null unique,  -- its identifier
    content    jsonb not null,
    asker      text not null,                     -- whose question it is, here
    told_asker text not null,                     -- whose it is, as the members are told
    origin     text collate "C" not null default '',  -- the member that asks; empty for the hub itself
    asked_at   timestamptz not null default now(),
    closes_at  timestamptz not null
);
create index federated_question_open on federated_question (closes_at);

create unlogged table federated_answer (
    question text collate "C" not null references federated_question (question) on delete cascade,
    member   text collate "C" not null,
    content  jsonb not null,
    primary key (question, member)
);

-- The most that a member's dataset was found to hold, which tells what it can hold a day later.
create table federated_holding (
    member   text collate "C" not null,
    dataset  text collate "C" not null,
    studies  bigint not null,
    noted_at timestamptz not null default now(),
    primary key (member, dataset)
);

-- Where people reach a member's pages, as a person at the hub has written it down.
create table member_address (
    member   text collate "C" primary key,
    url      text not null,
    noted_at timestamptz not null default now()
);

-- A member may be named by permits of its hub as long as it is one.
create or replace function subject_is_active(subject text) returns boolean language sql stable as $$
    select case
        when subject = 'administrator' then true
        when subject like 'federation:%' then true
        when subject like 'member:%' then exists (
            select from member where name = substr(subject, 8) and state = 'active')
        when subject like 'search:%' then exists (
            select from search_token where name = substr(subject, 8) and revoked_at is null)
        when subject like 'client:%' then exists (
            select from client where client_id = substr(subject, 8) and revoked_at is null)
        when subject like 'account:%' then exists (
            select from account where name = substr(subject, 9) and disabled_at is null)
        else exists (select from issuer where url = split_part(subject, '#', 1) and position('#' in subject) > 0)
    end
$$;
