-- name: start_session
insert into session (id_sha256, subject, roles, expires_at)
values (%(id)s, %(subject)s, %(roles)s, now() + %(lifetime)s * interval '1 second')

-- name: find_session
select subject, roles, last_seen_at < now() - least(60.0, %(idle)s / 2.0) * interval '1 second'
from session
where id_sha256 = %(id)s
    and expires_at > now()
    and last_seen_at > now() - %(idle)s * interval '1 second'
    and last_seen_at < now() + interval '1 minute'  -- one of a clock that was ahead would last until it is there again
    and subject_is_active(subject)

-- name: session_lasts
select greatest(extract(epoch from least(expires_at, last_seen_at + %(idle)s * interval '1 second') - now()), 0)
from session
where id_sha256 = %(id)s and subject_is_active(subject)

-- name: see_session
update session set last_seen_at = now() where id_sha256 = %(id)s

-- name: end_session
delete from session where id_sha256 = %(id)s returning subject

-- name: end_sessions_of
delete from session where subject = %(subject)s

-- name: forget_sessions
delete from session where expires_at < now() or last_seen_at < now() - %(idle)s * interval '1 second'
    or last_seen_at > now() + interval '1 minute'
