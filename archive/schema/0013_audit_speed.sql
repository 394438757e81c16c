-- What an append to the trail costs, for each request waits for one.

-- The end of the chain is read along the key whatever was known of the table when a connection made its plan: of one that
-- was empty then, the plan would be to read it whole, for as long as the connection lasts.
alter function append_to_audit(text[]) set enable_seqscan = off;

-- Whether a record belongs into an index is told by its text; it is taken apart for those alone into which it does.
drop index audit_by_study, audit_by_patient, audit_by_permit;
create index audit_by_study on audit ((content::jsonb ->> 'study')) where content like '%"study":%';
create index audit_by_patient on audit ((content::jsonb ->> 'patient')) where content like '%"patient":%';
create index audit_by_permit on audit using gin ((content::jsonb -> 'permits') jsonb_path_ops)
    where content like '%"permits":%';
