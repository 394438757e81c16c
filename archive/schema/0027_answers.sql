-- How often a site has answered a round: a hub that asks again and again is refused.
alter table site_round add column answers integer not null default 1;
