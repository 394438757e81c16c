-- How often each member's SuperNode has asked for messages and had its answer. It works on one at a time: one that goes on
-- asking while it was given one has lost that. A count that is lost with PostgreSQL costs time alone.

create unlogged table fleet_poll (
    member text collate "C" primary key,
    polls  bigint not null
);
