-- name: same_person
-- Those of others that are one person with one. A program is its owner's, and also whose an administrator linked it to.
with named as (
    select subject, subject as asked, subject = %(one)s as is_one
    from unnest(array[%(one)s] || %(others)s::text[]) subject
), held as (
    select is_one, asked, subject from named
    union
    select is_one, asked, owner from named join client on 'client:' || client_id = subject and owner <> ''
), person as (
    select is_one, asked, coalesce(person, subject) as person from held left join linked_identity using (subject)
)
select distinct other.asked from person one join person other using (person) where one.is_one and not other.is_one

-- name: person
select person_of(%(subject)s)

-- name: link
-- All that are linked to either are one from now on.
with same as (
    select subject from linked_identity
    where person in (select person from linked_identity where subject in (%(one)s, %(other)s))
    union values (%(one)s), (%(other)s)
), named as (
    select coalesce(min(person), gen_random_uuid()::text) as person
    from linked_identity where subject in (%(one)s, %(other)s))
insert into linked_identity (subject, person, linked_by)
select subject, named.person, %(by)s from same, named
on conflict (subject) do update set person = excluded.person

-- name: unlink
delete from linked_identity where subject = %(subject)s

-- name: list
select subject, person, linked_at, linked_by from linked_identity order by person, subject
