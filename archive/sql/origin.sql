-- {scope} is what the caller may write, a condition composed of constants.

-- name: may_add
select exists (select from study where study_instance_uid = %(study)s and {scope})
    or exists (select from study_origin where study_instance_uid = %(study)s and subject = %(subject)s),
    exists (select from study where study_instance_uid = %(study)s)

-- name: bring
insert into study_origin (study_instance_uid, subject) values (%(study)s, %(subject)s) on conflict do nothing
