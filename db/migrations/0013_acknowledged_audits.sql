-- Accounts that were found to be wrong, once an operator has looked into them: they alert no more.
alter table mirror.audit add column acknowledged bigint not null default 0;
comment on column mirror.audit.acknowledged is 'How many of the wrong accounts an operator has acknowledged (tim-mirror verify --acknowledge).';
