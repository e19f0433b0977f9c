import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { assertSchema, migrate, SchemaError } from '../../db/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase({ migrated: false });
});

afterEach(async () => {
  await database[Symbol.asyncDispose]();
});

describe('migrating', () => {
  test('a fresh database gets everything, and a second time nothing', async () => {
    const first = await migrate(database.db);
    expect(first.applied.length).toBeGreaterThan(1);
    expect(await migrate(database.db)).toEqual({ applied: [], version: first.version });
    await assertSchema(database.db);
  });

  test('from several places at once it is done once', async () => {
    const others = Array.from({ length: 4 }, () =>
      connect({ url: database.url, applicationName: 'another', onIdleError: () => undefined }),
    );
    const reports = await Promise.all(others.map((other) => migrate(other)));
    expect(reports.filter((report) => report.applied.length > 0)).toHaveLength(1);
    await Promise.all(others.map((other) => other.destroy()));
  });

  test('an older schema is refused with what to run', async () => {
    await expect(assertSchema(database.db)).rejects.toThrow(/older than this tim-mirror.*tim-mirror migrate/);
    await migrate(database.db);
    await sql`delete from mirror.migration where version = (select max(version) from mirror.migration)`.execute(
      database.db,
    );
    await expect(assertSchema(database.db)).rejects.toThrow(SchemaError);
  });

  test('a newer schema is refused, by the daemon and by migrate', async () => {
    await migrate(database.db);
    await sql`insert into mirror.migration (version, name, checksum) values (9999, '9999_future', '')`.execute(
      database.db,
    );
    await expect(assertSchema(database.db)).rejects.toThrow(/newer than this tim-mirror knows/);
    await expect(migrate(database.db)).rejects.toThrow(/newer than this tim-mirror knows/);
  });

  test('a migration applied in another wording is reported', async () => {
    await migrate(database.db);
    await sql`update mirror.migration set checksum = 'other' where version = 1`.execute(database.db);
    await expect(assertSchema(database.db)).rejects.toThrow(
      /0001_mirror_tables was applied in another wording/,
    );
  });
});
