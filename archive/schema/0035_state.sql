-- What the state of the node is told by: what somebody did last and when, and indexes by which little is counted quickly.

create table milestone (
    name   text collate "C" primary key,      -- backup, audit-verified
    at     timestamptz not null default now(),
    detail jsonb not null default '{}'
);

create index spool_open on spool (state, received_at) where state in ('waiting', 'cleaning', 'quarantined');
create index reading_failed on reading (changed_at) where state = 'failed' and not shadow;
create index delivery_refused on delivery (changed_at) where state = 'refused';
create index permit_requested on permit (requested_at) where state = 'requested';
