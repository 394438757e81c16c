-- Who does not see every study adds to those that it sees, and to no others: who brought a study makes no difference.

drop table study_origin;
