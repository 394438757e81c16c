-- A patient's report tells of the searches whose answers listed studies of hers: records name them by marks of their UIDs.

-- What is added waits in a short list, so that no append has much to sort into the index at once.
create index audit_by_shown on audit using gin ((content::jsonb -> 'shown') jsonb_path_ops)
    with (gin_pending_list_limit = 128) where content like '%"shown":["%';

-- Searches of before, whose records say how many studies they listed and not which.
create index audit_unlisted on audit (number) where
    content like '%"event":"access.search"%' and content not like '%"shown":%' and content not like '%"study":"%'
    and (content like '%"results":%' or content like '%/workitems"%') and content not like '%"results":0,%';
