import type pg from 'pg';

/** A connection works under settings that statements here would misread. The message is one sentence that says what to do. */
export class SessionSettingsError extends Error {
  override readonly name = 'SessionSettingsError';
}

/**
 * What our statements rely on. A database, a role or a URL may say otherwise: `alter database … set datestyle` makes
 * the driver read every time as null, and `extra_float_digits` cuts digits off estimates.
 */
const relied = {
  // How values look as text, in both directions.
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  // Off, a null in an array becomes the text NULL: a friend of that name.
  array_nulls: 'on',
  transform_null_equals: 'off',
  // Every statement names its schema, so nothing of another schema can replace a function of Postgres' own.
  search_path: 'pg_catalog',
  // Stricter levels refuse a third of what replicas do at once; the locks are what we rely on.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  // Not default_transaction_read_only: an operator, or a service whose disk is full, stops all writes with it.
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  // Postgres 17 and newer.
  transaction_timeout: '0',
  // A statement whose client has gone ends after this long, and so do its locks.
  client_connection_check_interval: '5s',
  // A client that vanished without a word is noticed after a minute, where the system waits for two hours.
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '10',
  tcp_keepalives_count: '3',
} as const;

/** A setting of a session that statements rely on. */
type SettingName = keyof typeof relied;

/** Those without which values would be misread; behind a pooler, where nothing can be set, they are checked. */
const indispensable: readonly SettingName[] = [
  'DateStyle',
  'IntervalStyle',
  'bytea_output',
  'extra_float_digits',
  'standard_conforming_strings',
  'array_nulls',
  'transform_null_equals',
  'default_transaction_isolation',
  'search_path',
  'statement_timeout',
  'lock_timeout',
];

/**
 * States all settings that statements rely on, for a new connection, whatever database, role or URL say. A pooler hands
 * a server's session to others, so behind one they are looked at instead. Throws SessionSettingsError when one of them
 * is not as it must be.
 */
export async function stateSettings(
  client: pg.ClientBase,
  special: Readonly<Partial<Record<SettingName, string>>> = {},
): Promise<void> {
  const settings = { ...relied, ...special };
  // A pooler reports a process id of its own making.
  const { rowCount } = await client.query(
    // With its schema before every name and operator, for the search path is not ours yet. An unnest of several arrays is
    // always that of pg_catalog.
    `select pg_catalog.set_config(name, value, false)
    from unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) as setting (name, value)
    where pg_catalog.pg_backend_pid() operator(pg_catalog.=) $3::pg_catalog.int4
      and pg_catalog.current_setting(name, true) is not null
      -- Other systems than Linux may refuse any value but 0.
      and (
        name operator(pg_catalog.<>) 'client_connection_check_interval'::pg_catalog.text
        or pg_catalog.version() operator(pg_catalog.~) 'linux'::pg_catalog.text
      )`,
    [Object.keys(settings), Object.values(settings), Reflect.get(client, 'processID')],
  );
  if (rowCount === 0) await checkSettings(client);
}

async function checkSettings(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ name: SettingName; value: string }>(
    'select name, setting as value from pg_catalog.pg_settings where name operator(pg_catalog.=) any($1::pg_catalog.text[])',
    [indispensable],
  );
  const wrong = rows.find(({ name, value }) => !isGood(name, value));
  if (wrong === undefined) return checkSearchPath(client);
  throw new SessionSettingsError(
    `Behind the connection pooler ${wrong.name} is “${wrong.value}”, and it must be “${relied[wrong.name]}”; ` +
      `run: alter role <the user of DATABASE_URL> set ${wrong.name} = '${relied[wrong.name]}', and have the pooler reconnect.`,
  );
}

/**
 * A function of a schema that others may create in can replace one of Postgres' own, such as `to_char(date, text)`,
 * and would run with our rights.
 */
async function checkSearchPath(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ name: string }>(`
    select nspname as name
    from pg_catalog.pg_namespace
    where nspname operator(pg_catalog.=) any (pg_catalog.current_schemas(false)) and exists (
      -- Who may make functions there: the owner, and who was given the right. PUBLIC is 0.
      select from (
        select nspowner union all
        select grantee from pg_catalog.aclexplode(nspacl) where privilege_type operator(pg_catalog.=) 'CREATE'::pg_catalog.text
      ) as maker (role)
      where not exists (
        select from pg_catalog.pg_roles as trusted
        where trusted.oid operator(pg_catalog.=) maker.role and (
          trusted.rolsuper
          or trusted.rolname operator(pg_catalog.=) current_user
          or trusted.rolname operator(pg_catalog.=) 'pg_database_owner'::pg_catalog.name
          or trusted.oid operator(pg_catalog.=) (
            select datdba from pg_catalog.pg_database
            where datname operator(pg_catalog.=) pg_catalog.current_database()
          )
        )
      )
    )
  `);
  const [open] = rows;
  if (open === undefined) return;
  throw new SessionSettingsError(
    `Behind the connection pooler search_path names the schema ${open.name}, in which others may make functions that would run with our rights; ` +
      `run: alter role <the user of DATABASE_URL> set search_path = 'pg_catalog', and have the pooler reconnect.`,
  );
}

function isGood(name: SettingName, value: string): boolean {
  if (name === 'DateStyle') return value.startsWith('ISO');
  if (name === 'extra_float_digits') return Number(value) > 0;
  // Postgres looks into pg_catalog first, unless a setting puts it behind other schemas.
  if (name === 'search_path') return !/,\s*"?pg_catalog\b/.test(value);
  // In milliseconds. A shorter one aborts ordinary statements.
  if (name === 'statement_timeout' || name === 'lock_timeout') return value === '0' || Number(value) >= 1000;
  return value === relied[name];
}
