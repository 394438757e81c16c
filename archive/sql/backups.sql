-- name: last
select at, detail from milestone where name = 'backup'

-- name: note
insert into milestone (name, at, detail) values ('backup', %(at)s, %(detail)s)
on conflict (name) do update set at = excluded.at, detail = excluded.detail

-- name: erasures
select id, kind, pseudonyms, asked_at, asked_by, reason from erasure order by asked_at, id

-- name: opt_outs
select patient_id, added_at, added_by from opt_out order by patient_id

-- name: erase_again
insert into erasure (id, kind, pseudonyms, asked_at, asked_by, reason)
values (%(id)s, %(kind)s, %(pseudonyms)s, %(asked_at)s, %(asked_by)s, %(reason)s)
on conflict do nothing

-- name: opt_out_again
insert into opt_out (patient_id, added_at, added_by) values (%(patient_id)s, %(added_at)s, %(added_by)s)
on conflict (patient_id) do nothing
