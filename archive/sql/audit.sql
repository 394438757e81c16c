-- name: append_at_commit
insert into audit_pending (content) values (%(content)s)

-- name: end_of_chain
select number, hash from audit order by number desc limit 1

-- name: links
select number, hash, content from audit where number > %(after)s and number <= %(last)s order by number

-- name: checkpoints
select number, hash, signed_at, closes, key_id, signature from audit_checkpoint order by position

-- name: try_to_sign
-- One process signs at a time; the others leave it to that one.
select pg_try_advisory_xact_lock(1577713669)

-- name: sign_alone
select pg_advisory_xact_lock(1577713669)

-- name: last_signed
select signed_at from audit_checkpoint order by position desc limit 1

-- name: add_checkpoint
insert into audit_checkpoint (number, hash, signed_at, closes, key_id, signature)
values (%(number)s, %(hash)s, %(signed_at)s, %(closes)s, %(key_id)s, %(signature)s)

-- name: last_before
-- The last record of those that were all written before a moment; the end of the chain is never one of them.
select number, hash from audit
where number < coalesce(
    (select min(number) from audit where content::jsonb ->> 'time' >= %(moment)s), (select max(number) from audit))
order by number desc limit 1

-- name: retire
delete from audit where number <= %(number)s

-- name: prepare_append
-- Contents hold no line feed: JSON writes it as \n.
prepare append_lines (text) as select append_to_audit(string_to_array($1, E'\n'))

-- name: entries
-- Of the records that are asked for, the first or the last so many; of a study, whose it is.
select audit.number, audit.content, study.patient_id
from audit
left join study on study.study_instance_uid = audit.content::jsonb ->> 'study'
where audit.number > %(after)s
    and (%(since)s::text is null or audit.content::jsonb ->> 'time' >= %(since)s)
    and (%(until)s::text is null or audit.content::jsonb ->> 'time' < %(until)s)
    and (%(event)s::text is null or audit.content::jsonb ->> 'event' = %(event)s)
    and (%(subject)s::text is null or audit.content::jsonb ->> 'subject' = %(subject)s)
order by audit.number {direction} limit %(limit)s

-- name: of_permit
select audit.number, audit.content, study.patient_id
from audit
left join study on study.study_instance_uid = audit.content::jsonb ->> 'study'
where audit.content like '%%"permits":%%' and audit.content::jsonb -> 'permits' @> to_jsonb(%(permit)s::text)
order by audit.number

-- name: studies_of_patient
-- Those that are the patient's, and those that a record says were.
select study_instance_uid from study where patient_id = %(patient)s
union
select content::jsonb ->> 'study' from audit
where content like '%%"patient":%%' and content::jsonb ->> 'patient' = %(patient)s
    and content::jsonb ->> 'study' is not null

-- name: of_patient
-- What names the patient, what names a study of hers, and what listed one.
select audit.number, audit.content, %(patient)s
from audit
where audit.number in (
    select number from audit where content like '%%"patient":%%' and content::jsonb ->> 'patient' = %(patient)s
    union
    select number from audit join unnest(%(studies)s::text[]) uid
        on audit.content like '%%"study":%%' and audit.content::jsonb ->> 'study' = uid
    union
    select number from audit join unnest(%(marks)s::text[]) mark
        on audit.content like '%%"shown":["%%' and audit.content::jsonb -> 'shown' @> to_jsonb(mark))
order by audit.number

-- name: unlisted
-- How many searches don't say which studies they listed, the last of them, and the first record that the table has.
select count(*), max(number),
    (select content::jsonb ->> 'time' from audit last where last.number = max(audit.number)),
    (select min(number) from audit)
from audit
where content like '%%"event":"access.search"%%' and content not like '%%"shown":%%' and content not like '%%"study":"%%'
    and (content like '%%"results":%%' or content like '%%/workitems"%%') and content not like '%%"results":0,%%'

-- name: extent
select count(*), min(number), max(number) from audit

-- name: configured
select name, digest from configuration

-- name: configure
insert into configuration (name, digest) select unnest(%(names)s::text[]), unnest(%(digests)s::bytea[])
on conflict (name) do update set digest = excluded.digest

-- name: deconfigure
delete from configuration where name = any(%(names)s::text[])
