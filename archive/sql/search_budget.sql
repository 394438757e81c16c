-- name: ask_alone
-- One asker's questions are put down one after the other.
select pg_advisory_xact_lock(1577713682, hashtext(%(asker)s))

-- name: spent
select coalesce(sum(cost), 0), coalesce(bool_or(digest = %(digest)s), false),
    extract(epoch from date_trunc('day', now() at time zone 'utc') + interval '1 day' - now() at time zone 'utc')::float
from search_asked where asker = %(asker)s and day = (now() at time zone 'utc')::date

-- name: spend
insert into search_asked (asker, day, digest, cost)
values (%(asker)s, (now() at time zone 'utc')::date, %(digest)s, %(cost)s)

-- name: forget_spent
delete from search_asked where day < (now() at time zone 'utc')::date
