-- Who this database belongs to. Account keys and claim numbers are small and agree between databases, so whatever
-- leaves the database (a job on a Redis that others use too) carries this id, and comes back only with it.

create table mirror.installation (
  only_row boolean primary key default true check (only_row),
  installation_id uuid not null default gen_random_uuid(),
  -- The server and the database it was made for. In a copy, restored or made from a template, they differ, and the
  -- copy becomes an installation of its own. Null where this role may not ask which server it is.
  place text,
  -- Raised every few seconds by each daemon with Redis, and shown there: who sees a higher one there than here shares the
  -- identity with a copy of this database, down to its disk blocks, that lives on elsewhere.
  beat bigint not null default 0,
  made_at timestamptz not null default now()
);

comment on table mirror.installation is 'The identity of this mirror. One row, made by migrate.';

insert into mirror.installation default values;
