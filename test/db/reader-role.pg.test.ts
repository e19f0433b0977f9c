import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import { assertSchema, migrate } from '../../db/migrate.ts';
import { type LocalPostgres, startPostgres } from '../../dev/local-servers/postgres.ts';

// A server of its own: roles belong to the whole server, and every other test needs this one.
let server: LocalPostgres;
let admin: Database;
let databases = 0;

beforeAll(async () => {
  server = await startPostgres({ durable: false });
  admin = open(server.url());
  await run(admin, "create role plain login password 'plain'");
});

afterAll(async () => {
  await admin?.destroy();
  await server?.stop();
});

const open = (url: string) => connect({ url, applicationName: 'test', onIdleError: () => undefined });
const run = (db: Database, text: string) => sql.raw(text).execute(db);

/** A database that belongs to a user who may create no role. */
async function createDatabase(): Promise<{ readonly owner: Database; readonly asAdmin: Database }> {
  databases += 1;
  const name = `of_plain_${databases}`;
  await run(admin, `create database ${name} owner plain`);
  const url = new URL(server.url(name));
  url.username = 'plain';
  url.password = 'plain';
  return { owner: open(url.href), asAdmin: open(server.url(name)) };
}

async function closing(dbs: { readonly owner: Database; readonly asAdmin: Database }): Promise<void> {
  await dbs.owner.destroy();
  await dbs.asAdmin.destroy();
}

/** What tim_reader may read in schema tim, of how much there is. */
async function readable(db: Database): Promise<{ readonly may: number; readonly all: number }> {
  const { rows } = await sql<{ may: number; all: number }>`
    select count(*) filter (where has_table_privilege('tim_reader', oid, 'select')
      and has_schema_privilege('tim_reader', 'tim', 'usage')) as may, count(*) as all
    from pg_class where relnamespace = 'tim'::regnamespace and relkind = 'v'
  `.execute(db);
  return rows[0] ?? { may: 0, all: 0 };
}

describe('a user who may create no role', () => {
  beforeEach(async () => {
    await run(admin, 'drop role if exists tim_reader');
  });

  test('gets to know what an administrator has to run where the role is missing, and then migrates', async () => {
    const dbs = await createDatabase();
    await expect(migrate(dbs.owner)).rejects.toThrow(
      'Role tim_reader is missing and this user may not create it; let an administrator run: create role tim_reader nologin;',
    );
    await run(admin, 'create role tim_reader nologin');
    expect((await migrate(dbs.owner)).applied.length).toBeGreaterThan(1);
    const { may, all } = await readable(dbs.owner);
    expect(may).toBe(all);
    await run(dbs.asAdmin, 'drop owned by tim_reader');
    await closing(dbs);
  });

  test('who may create nothing at all, with nothing to do, does nothing', async () => {
    await run(admin, 'create role tim_reader nologin');
    const dbs = await createDatabase();
    await migrate(dbs.asAdmin);
    // It may look at the record of migrations, and at no more.
    await run(
      dbs.asAdmin,
      `
        do $$ begin execute format('alter database %I owner to postgres', current_database()); end $$;
        grant usage on schema mirror, tim to plain;
        grant select on mirror.migration to plain
      `,
    );
    expect((await migrate(dbs.owner)).applied).toEqual([]);
    await assertSchema(dbs.owner);
    await run(dbs.asAdmin, 'drop owned by tim_reader');
    await closing(dbs);
  });
});

describe('an administrator who migrates a schema that is up to date', () => {
  test('makes the role and its grants where a restore has lost them', async () => {
    const dbs = await createDatabase();
    await migrate(dbs.asAdmin);
    // As on a server that a dump is restored to: all is there but the role, and so its grants.
    await run(dbs.asAdmin, 'drop owned by tim_reader; drop role tim_reader');
    expect((await migrate(dbs.asAdmin)).applied).toEqual([]);
    const { may, all } = await readable(dbs.asAdmin);
    expect(all).toBeGreaterThan(5);
    expect(may).toBe(all);
    await run(dbs.asAdmin, 'drop owned by tim_reader');
    await closing(dbs);
  });

  test('accepts a database that the former wording of a migration has made', async () => {
    const dbs = await createDatabase();
    await migrate(dbs.asAdmin);
    const former = '5a09722310a14a25643d477810d3364981315381e7ab14af8906c62412be53a2';
    await run(dbs.asAdmin, `update mirror.migration set checksum = '${former}' where version = 2`);
    expect((await migrate(dbs.asAdmin)).applied).toEqual([]);
    await assertSchema(dbs.asAdmin);
    await run(dbs.asAdmin, 'drop owned by tim_reader');
    await closing(dbs);
  });
});
