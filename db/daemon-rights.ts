import { type RawBuilder, sql } from 'kysely';

/**
 * The tables, views and sequences of the daemon's schemas and what it does to each, as a query of `oid`, `relkind`,
 * `relowner`, `nspowner` and `rights` (a list with commas). Neither may it change or drop one, nor write the record of migrations.
 */
export const relationRights: RawBuilder<unknown> = sql`
  select pg_class.oid, relname, relkind, relispartition, relowner, nspowner, nspname::text as nsp,
    case
      when relkind = 'S' then 'usage, select, update'
      when nspname = 'tim' or nspname = 'mirror' and relname = 'migration' then 'select'
      else 'select, insert, update, delete'
    end as rights
  from pg_class join pg_namespace on pg_namespace.oid = relnamespace
  where nspname in ('mirror', 'tim', 'bullmq') and relkind in ('r', 'p', 'v', 'S')
`;

/** Schemas and the rights on each; queues make sequences of their own. */
export const schemaRights = [
  ['mirror', 'usage'],
  ['tim', 'usage'],
  ['bullmq', 'usage'],
  ['bullmq', 'create'],
] as const;
