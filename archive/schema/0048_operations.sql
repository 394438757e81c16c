-- Of which of Orthanc's indexes the position is: another one numbers its changes anew (orthanc_plugin/lineage.py).

alter table follow_position add column index_mark text;

-- When a member's SuperNode had its last answer.
alter table fleet_poll add column polled_at timestamptz not null default now();
