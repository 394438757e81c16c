-- name: readings
-- A row for each reading of a study that the caller may see, one without a reading where it has none.
select
    exists (select from unsettled u where u.study_instance_uid = study.study_instance_uid),
    reading.task, reading.modality, reading.state, reading.reason, reading.model,
    case when reading.state = 'done' then reading.findings -> 'findings' end,
    case when reading.state = 'done' then fingerprint_of(reading.findings) end,
    reading.result_sop_instance_uid, reading.changed_at
from study left join reading on reading.study_instance_uid = study.study_instance_uid and not reading.shadow
where study.study_instance_uid = %(study)s and {scope}
order by reading.task, reading.modality

-- name: of_study
-- The reviews of a study in the order in which they were said. A decision takes the place of an earlier one that the same
-- reader took on the same thing; comments stay beside each other.
select
    task, modality, review_id, decision, lesion, comment, reviewer, observer, at, fingerprint,
    findings #>> '{findings,model,title}' || ' ' || (findings #>> '{findings,model,version}'), sop_instance_uid,
    decision <> 'comment' and exists (
        select from review later
        where later.number > review.number and later.decision <> 'comment' and later.lesion = review.lesion
            and (later.study_instance_uid, later.task, later.modality, later.reviewer)
                = (review.study_instance_uid, review.task, review.modality, review.reviewer))
from review
where study_instance_uid = %(study)s
order by number

-- name: reviewed
-- The reading that is reviewed, kept as it is until the transaction ends.
select reading.state, reading.findings::text, fingerprint_of(reading.findings), reading.result_sop_instance_uid
from reading join study on study.study_instance_uid = reading.study_instance_uid
where reading.study_instance_uid = %(study)s and task = %(task)s and modality = %(modality)s and not shadow and {scope}
for share of reading

-- name: add
insert into review (
    review_id, study_instance_uid, task, modality, fingerprint, findings, result_sop_instance_uid, lesion, decision, comment,
    reviewer, observer)
values (
    %(review_id)s, %(study)s, %(task)s, %(modality)s, %(fingerprint)s, %(findings)s::jsonb, %(result_sop_instance_uid)s,
    %(lesion)s, %(decision)s, %(comment)s, %(reviewer)s, %(observer)s)
returning at

-- name: due
select review_id from review
where sop_instance_uid is null
    and (due_at <= now() or due_at > now() + interval '1 hour')  -- by a clock that was ahead
    and not (select withheld from study where study.study_instance_uid = review.study_instance_uid)
order by number limit 100

-- name: study
select study_instance_uid from review where review_id = %(review_id)s and sop_instance_uid is null

-- name: begin
-- What is to be written, if nobody else is writing it; and the decision whose place it takes.
select
    review_id, study_instance_uid, lesion, decision, comment, observer, findings::text, result_sop_instance_uid,
    (select earlier.review_id from review earlier
     where earlier.number < review.number and earlier.decision <> 'comment' and review.decision <> 'comment'
        and (earlier.study_instance_uid, earlier.task, earlier.modality, earlier.lesion, earlier.reviewer)
            = (review.study_instance_uid, review.task, review.modality, review.lesion, review.reviewer)
     order by earlier.number desc limit 1),
    (select count(*) from review other
     where other.study_instance_uid = review.study_instance_uid and other.number <= review.number)
from review
where review_id = %(review_id)s and sop_instance_uid is null
for update skip locked

-- name: context
-- An instance whose patient and study the SR is to have: one that was read, where it is still there.
select place from instance
where study_instance_uid = %(study)s
order by sop_instance_uid = any(%(sources)s) desc, is_image desc, sop_instance_uid limit 1

-- name: finish
update review set sop_instance_uid = %(sop_instance_uid)s where review_id = %(review_id)s

-- name: put_off
update review set attempts = attempts + 1, due_at = now() + interval '5 seconds' * 2 ^ least(attempts, 4)
where review_id = %(review_id)s
