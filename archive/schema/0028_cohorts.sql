-- A cohort of more than some eighty patients is too large for a row of an index.
alter table evaluated_cohort drop constraint evaluated_cohort_pkey;
create index evaluated_cohort_by_package on evaluated_cohort (package);
