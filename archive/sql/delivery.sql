-- name: want
-- A result for a destination. One whose content is the same as before changes nothing, whatever has become of it.
insert into delivery (
    destination, study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, kind, content)
select %(destination)s, study_instance_uid, %(series_instance_uid)s, %(sop_instance_uid)s, %(sop_class_uid)s, %(kind)s,
    %(content)s
from study where study_instance_uid = %(study_instance_uid)s and not withheld
on conflict (sop_instance_uid, destination) do update set
    content = excluded.content,
    edition = delivery.edition + case when delivery.stored_version = '' and delivery.attempts = 0 then 0 else 1 end,
    state = 'waiting', is_uncertain = false, attempts = 0, next_try = now(), status = null,
    reason = '', transaction_uid = null, asked = 0, wanted_at = now(), changed_at = now()
where delivery.content <> excluded.content

-- name: forget_superseded
-- What an earlier reading gave, and the one that took its place does not.
update delivery set state = 'cancelled', next_try = null, reason = 'superseded by another reading', changed_at = now()
where series_instance_uid = any(%(series)s) and sop_instance_uid <> all(%(given)s) and state in ('waiting', 'delivering')

-- name: deliver_alone
select pg_try_advisory_lock(1577713691, hashtext(%(destination)s))

-- name: note_interrupted
-- What was on its way when the process ended that delivered it.
update delivery set
    state = 'waiting', is_uncertain = true, reason = 'the worker ended before an answer came', changed_at = now(),
    next_try = now() + make_interval(secs => least(power(2, least(attempts - 1, 30)) - 1, 900))
where destination = %(destination)s and state = 'delivering'

-- name: due
-- What can be sent now: the study is for use, and the instance lies in the index. Nothing is put off for two hours: what says
-- so was put off when the clock was ahead.
select d.id, d.study_instance_uid, d.series_instance_uid, d.sop_instance_uid, d.sop_class_uid, d.kind, d.content,
    d.version, d.stored_version, d.is_uncertain, d.wanted_at, i.place,
    exists (select from other_patient o where o.study_instance_uid = d.study_instance_uid) as of_several
from delivery d
join study s on s.study_instance_uid = d.study_instance_uid and not s.withheld
join instance i on i.sop_instance_uid = d.sop_instance_uid
where d.destination = %(destination)s and d.state = 'waiting'
    and (d.next_try <= now() or d.next_try > now() + interval '2 hours')
order by d.wanted_at, d.id
limit %(limit)s

-- name: begin
-- Whether it is to be sent still: another content may be wanted meanwhile, a person may have cancelled it.
update delivery set state = 'delivering', attempts = attempts + 1, changed_at = now()
where id = %(id)s and state = 'waiting' and content = %(content)s
    and exists (select from study s where s.study_instance_uid = delivery.study_instance_uid and not s.withheld)
returning attempts

-- name: finish
-- What came of an attempt, unless another content is wanted meanwhile or a person cancelled it; the state it is in then.
update delivery set
    state = case when state = 'delivering' then %(state)s else state end,
    next_try = case
        when state <> 'delivering' then next_try
        when %(wait)s::double precision is null then null
        else now() + make_interval(secs => %(wait)s::double precision) end,
    is_uncertain = state = 'delivering' and %(is_uncertain)s,
    status = %(status)s,
    reason = case when state = 'delivering' then %(reason)s else reason end,
    stored_version = case when %(is_stored)s then %(version)s else stored_version end,
    stored_at = case when %(is_stored)s then now() else stored_at end,
    changed_at = now()
where id = %(id)s
returning state

-- name: put_off
-- What waits and was not begun: no association came about, or it can't be sent now.
update delivery set
    attempts = attempts + 1, reason = %(reason)s, changed_at = now(),
    next_try = now() + make_interval(secs => %(waits)s::double precision)
        * least(power(2, least(attempts, 30)), %(most)s / %(waits)s::double precision)
where destination = %(destination)s and state = 'waiting'
    and (next_try <= now() or next_try > now() + interval '2 hours')
    and (%(ids)s::bigint[] is null or id = any(%(ids)s))

-- name: refuse
update delivery set state = 'refused', next_try = null, reason = %(reason)s, changed_at = now()
where id = %(id)s and content = %(content)s and state in ('waiting', 'delivering')

-- name: due_commitments
select id, study_instance_uid, sop_instance_uid, sop_class_uid, version, asked from delivery
where destination = %(destination)s and state = 'stored' and (next_try <= now() or next_try > now() + interval '2 hours')
order by stored_at limit %(limit)s

-- name: ask_commitment
update delivery set
    transaction_uid = %(transaction_uid)s, asked = asked + 1, reason = '', changed_at = now(),
    next_try = now() + make_interval(secs => %(wait)s)
where id = any(%(ids)s) and state = 'stored'

-- name: put_off_commitments
update delivery set reason = %(reason)s, asked = asked + 1, changed_at = now(),
    next_try = now() + make_interval(secs => %(wait)s::double precision)
where id = any(%(ids)s) and state = 'stored'

-- name: without_commitment
update delivery set next_try = null, reason = 'the destination offers no storage commitment', changed_at = now()
where id = any(%(ids)s) and state = 'stored'

-- name: of_transaction
select id, destination, study_instance_uid, sop_instance_uid, sop_class_uid, version, asked from delivery
where transaction_uid = %(transaction_uid)s and state = 'stored' for update

-- name: commit_stored
update delivery set state = 'committed', next_try = null, reason = '', changed_at = now() where id = any(%(ids)s)

-- name: deliver_again
-- The destination says that it does not hold it.
update delivery set state = 'waiting', is_uncertain = false, stored_version = '', next_try = now(), transaction_uid = null,
    reason = 'the destination says that it does not hold it', changed_at = now()
where id = any(%(ids)s)

-- name: versions
-- Of these results those which a destination holds or is to hold.
select sop_instance_uid, coalesce(nullif(stored_version, ''), version) from delivery
where destination = %(destination)s and sop_instance_uid = any(%(uids)s)
    and (stored_version <> '' or state not in ('refused', 'cancelled'))

-- name: list
select id, destination, kind, state, attempts, next_try, status, reason, study_instance_uid, sop_instance_uid,
    sop_class_uid, is_uncertain, wanted_at, changed_at, stored_at
from delivery
where (%(destination)s::text is null or destination = %(destination)s)
    and (%(state)s::text is null or state = %(state)s)
    and (%(study)s::text is null or study_instance_uid = %(study)s)
    and (%(id)s::bigint is null or id = %(id)s)
order by id desc limit %(limit)s

-- name: retry
-- What waits, was refused or cancelled is tried at once.
update delivery set state = 'waiting', next_try = now(), attempts = 0, reason = '', changed_at = now()
where id = %(id)s and state in ('waiting', 'refused', 'cancelled')
    and exists (select from study s where s.study_instance_uid = delivery.study_instance_uid and not s.withheld)
returning destination, study_instance_uid, sop_instance_uid

-- name: cancel
update delivery set state = 'cancelled', next_try = null, reason = 'a person cancelled it', changed_at = now()
where id = %(id)s and state in ('waiting', 'delivering', 'refused')
returning destination, study_instance_uid, sop_instance_uid

-- name: lock_acknowledgement
select pg_advisory_xact_lock(1577713692)

-- name: acknowledged
select sentence from delivery_acknowledgement order by number desc limit 1

-- name: acknowledge
insert into delivery_acknowledgement (by, sentence) values (%(by)s, %(sentence)s)
