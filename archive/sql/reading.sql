-- name: due
select study_instance_uid, task from reading
where state = 'due' and not (select withheld from study where study.study_instance_uid = reading.study_instance_uid)
order by changed_at limit 1000

-- name: begin
update reading set attempts = attempts + 1, changed_at = now()
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and state = 'due'
    and not (select withheld from study where study.study_instance_uid = reading.study_instance_uid)
returning attempts, fingerprint

-- name: give_back
update reading set attempts = attempts - 1
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and state = 'due'
    and fingerprint = %(fingerprint)s and attempts > 0

-- name: finish
update reading set
    state = %(state)s, model = %(model)s, reason = %(reason)s, findings = %(findings)s,
    result_sop_instance_uid = %(result_sop_instance_uid)s, changed_at = now()
where study_instance_uid = %(study_instance_uid)s and task = %(task)s and fingerprint = %(fingerprint)s

-- name: of_study
select state, model, reason, findings::text, result_sop_instance_uid from reading
where study_instance_uid = %(study_instance_uid)s and task = %(task)s

-- name: images
select place from instance
where study_instance_uid = %(study_instance_uid)s and is_image
order by sop_instance_uid

-- name: progress
select
    (select count(*) from unnest(%(instances)s::text[]) as wanted
     where not exists (select from instance i where i.sop_instance_uid = wanted)) as missing,
    exists (select from study_images m join study using (study_instance_uid)
    where m.study_instance_uid = %(study)s and not withheld and not exists (
        select from reading r
        where r.study_instance_uid = m.study_instance_uid and r.fingerprint = m.fingerprint and r.state <> 'due'
            and (r.result_sop_instance_uid is null
                 or exists (select from instance i where i.sop_instance_uid = r.result_sop_instance_uid)))) as unread
