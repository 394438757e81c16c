-- {matches} is a condition on the table `study`.

-- name: publish_rules
insert into rules (version, text, sha256, published_by) values (%(version)s, %(text)s, %(sha256)s, %(by)s)
on conflict (version) do nothing

-- name: list_rules
select number, version, text, sha256, published_at, published_by from rules
where %(version)s::text is null or version = %(version)s
order by number desc

-- name: newest_rules
select number, version, text, sha256, published_at, published_by from rules order by number desc limit 1

-- name: lock
-- Who changes an application holds its permit until the end of the transaction.
select p.number, p.subject, p.requested_by, p.state, p.review,
    coalesce((select max(revision) from application where permit = p.number), 0)
from permit p where permit_id = %(permit_id)s for update

-- name: waiting_of
select count(*) from permit where requested_by = %(by)s and state = 'requested'

-- name: events_of
select count(*) from application_event where permit = %(permit)s

-- name: revise
insert into application (permit, revision, title, protocol, people, starts, ends, rules, permitted, made_by)
values (%(permit)s, %(revision)s, %(title)s, %(protocol)s, %(people)s, %(starts)s, %(ends)s, %(rules)s, %(permitted)s,
    %(by)s)

-- name: ask_otherwise
update permit set purpose = %(purpose)s, legal_basis = %(legal_basis)s, hdab_identifier = %(hdab_identifier)s,
    actions = %(actions)s, conditions = %(conditions)s
where number = %(permit)s

-- name: name_no_dataset
delete from permit_dataset where permit = %(permit)s

-- name: review
update permit set review = %(review)s where number = %(permit)s

-- name: tell
insert into application_event (permit, revision, by, kind, text)
values (%(permit)s, %(revision)s, %(by)s, %(kind)s, %(text)s)

-- name: withdraw
update permit set state = 'withdrawn', decided_at = now(), decided_by = %(by)s where number = %(permit)s

-- name: has_voted
select exists (select from application_event
    where permit = %(permit)s and revision = %(revision)s and kind in ('for', 'against') and person_of(by) = person_of(%(by)s))

-- name: votes
-- A person has one vote, by however many of her identities: the first. One who was found to be the applicant has none.
with said as (
    select distinct on (person_of(e.by)) kind
    from application_event e join permit p on p.number = e.permit
    where e.permit = %(permit)s and revision = %(revision)s and kind in ('for', 'against')
        and person_of(e.by) not in (person_of(p.subject), person_of(p.requested_by))
    order by person_of(e.by), e.number)
select count(*) filter (where kind = 'for'), count(*) filter (where kind = 'against') from said

-- name: list
-- Each permit that was asked for, with what its newest revision says.
select permit_id, p.review, coalesce(a.revision, 0), coalesce(a.title, ''), coalesce(a.protocol, ''),
    coalesce(a.people, ''), a.starts, a.ends, r.version, r.sha256, a.made_at
from permit p
    left join lateral (
        select * from application where permit = p.number order by revision desc limit 1) a on true
    left join rules r on r.number = a.rules
where (%(permit_id)s::text is null or permit_id = %(permit_id)s)
    and (%(subject)s::text is null or %(subject)s in (subject, requested_by))
    and (not %(is_waiting)s or state = 'requested')
order by p.number

-- name: events
select e.at, e.by, e.kind, e.text, e.revision
from application_event e join permit p on p.number = e.permit
where permit_id = %(permit_id)s
order by e.number

-- name: downloads
-- Studies in the order of their UIDs, with what each holds.
with page as (
    select study_instance_uid from study
    where {matches} and study_instance_uid > %(after)s
    order by study_instance_uid limit %(limit)s)
select page.study_instance_uid, series_instance_uid, sop_instance_uid, size
from page left join instance using (study_instance_uid)
order by 1, 3
