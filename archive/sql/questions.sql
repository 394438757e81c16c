-- Questions that a hub puts to its members, and what they say.

-- name: lock
select pg_advisory_xact_lock(hashtext('federated_question'))

-- name: clean
-- A question stays for a while after its end, so that it can't be put a second time.
delete from federated_question where closes_at < now() - interval '3 minutes'

-- name: count_open
select count(*), count(*) filter (where asker = %(asker)s), count(*) filter (where origin = %(origin)s)
from federated_question where closes_at > now()

-- name: open
with opened as (
    insert into federated_question (question, content, asker, told_asker, origin, closes_at)
    values (%(question)s, %(content)s, %(asker)s, %(told_asker)s, %(origin)s, now() + %(within)s * interval '1 s')
    on conflict do nothing
    returning 1)
select pg_notify('senogate_questions', 'questions') from opened

-- name: close
update federated_question set closes_at = now() where question = %(question)s and closes_at > now()

-- name: open_after
-- What a member is asked now and has not been told of yet.
select number, question, content, told_asker from federated_question
where number > %(number)s and closes_at > now() and origin <> %(member)s
    and not exists (
        select from federated_answer a where a.question = federated_question.question and a.member = %(member)s)
order by number

-- name: is_open
select from federated_question q where question = %(question)s and closes_at > now() and origin <> %(member)s
    and not exists (select from federated_answer a where a.question = q.question and a.member = %(member)s)

-- name: answer
with taken as (
    insert into federated_answer (question, member, content)
    select question, %(member)s, %(content)s from federated_question
    where question = %(question)s and closes_at > now() and origin <> %(member)s
    on conflict do nothing
    returning question)
select pg_notify('senogate_questions', 'answer ' || question) from taken

-- name: answers
select member, content from federated_answer where question = %(question)s and member = any(%(members)s)

-- name: held
select dataset, studies, extract(epoch from now() - noted_at)::float8 from federated_holding where member = %(member)s

-- name: hold
-- Once a day, so that what a dataset may grow to does not grow with each answer.
insert into federated_holding (member, dataset, studies)
select %(member)s, * from unnest(%(datasets)s::text[], %(studies)s::bigint[])
on conflict (member, dataset) do update set studies = excluded.studies, noted_at = now()
where federated_holding.noted_at < now() - interval '1 day'

-- name: address
insert into member_address (member, url) select name, %(url)s from member where name = %(member)s and state = 'active'
on conflict (member) do update set url = excluded.url, noted_at = now()

-- name: forget_address
delete from member_address where member = %(member)s

-- name: addresses
-- What was written down of an earlier membership under the same name counts for nothing.
select a.member, a.url from member_address a join member m on m.name = a.member and m.state = 'active'
where a.noted_at >= m.requested_at

-- name: told
-- The datasets of these numbers that have a published record in the catalogue, or all that have, and their studies.
select d.name, (select coalesce(sum(bit_count(m.members)), 0)::bigint from dataset_month m where m.dataset = d.number)
from catalogue_record r join dataset d on d.number = r.dataset
where r.published_at is not null and d.deleted_at is null and d.version = 0
    and (%(numbers)s::integer[] is null or d.number = any(%(numbers)s))
