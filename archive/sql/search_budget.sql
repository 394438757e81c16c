-- name: ask_alone
-- The questions of one person, whichever of her identities asks, are put down one after the other.
select pg_advisory_xact_lock(1577713682, hashtext(person_of(%(asker)s)))

-- name: spent
-- By whoever asks, by identities that are linked to hers, and by programs of any of these.
with identity as materialized (
    select %(asker)s as subject
    union select person_of(%(asker)s)
    union select subject from linked_identity where person = person_of(%(asker)s)
), named as materialized (
    select subject from identity
    union select 'client:' || client_id from client join identity on owner = subject where owner <> ''
)
select coalesce(sum(cost), 0), coalesce(bool_or(digest = %(digest)s), false),
    extract(epoch from date_trunc('day', now() at time zone 'utc') + interval '1 day' - now() at time zone 'utc')::float
from search_asked where asker in (select subject from named) and day = (now() at time zone 'utc')::date

-- name: spend
insert into search_asked (asker, day, digest, cost)
values (%(asker)s, (now() at time zone 'utc')::date, %(digest)s, %(cost)s)

-- name: forget_spent
delete from search_asked where day < (now() at time zone 'utc')::date
