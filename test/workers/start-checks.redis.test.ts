import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { assertServerVersion, serverVersionProblem } from '../../db/server-version.ts';
import { createLogger } from '../../src/log.ts';
import { connectRedis } from '../../src/redis/redis-connections.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { collectLog } from '../support/collect-log.ts';
import { createTestDatabase } from '../support/database.ts';
import { createTestRedis } from '../support/redis.ts';

test('a Redis that may evict keys is warned of in a sentence, and one that may not is not', async () => {
  await using redis = await createTestRedis();
  const admin = new Redis(redis.url);
  try {
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    expect(await linesOfConnecting(redis.url)).toMatch(
      /"msg":"Redis may evict keys under maxmemory-policy allkeys-lru; set it to noeviction\."/,
    );
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
    expect(await linesOfConnecting(redis.url)).toBe('');
  } finally {
    admin.disconnect();
  }
});

test('a Postgres older than 15 is refused in a sentence', async () => {
  await using database = await createTestDatabase();
  await assertServerVersion(database.db);
  expect(serverVersionProblem(140_011, '14.11')).toBe(
    'This Postgres is of version 14.11, and tim-mirror needs 15 or newer; upgrade it, or let DATABASE_URL name another.',
  );
  expect(serverVersionProblem(150_000, '15.0')).toBeUndefined();
});

test('a database that is not in UTF8 is refused in a sentence', async () => {
  await using database = await createTestDatabase();
  const name = `${new URL(database.url).pathname.slice(1)}_latin`;
  await sql`create database ${sql.id(name)} encoding 'LATIN1' locale 'C' template template0`.execute(
    database.db,
  );
  const url = new URL(database.url);
  url.pathname = `/${name}`;
  const db = connect({ url: url.href, applicationName: 'tim-mirror test', onIdleError: () => undefined });
  try {
    await expect(assertServerVersion(db)).rejects.toThrow(
      /^This database is encoded in LATIN1, .*create database tim encoding 'UTF8'/,
    );
  } finally {
    await db.destroy();
    await sql`drop database ${sql.id(name)} with (force)`.execute(database.db);
  }
});

async function linesOfConnecting(url: string): Promise<string> {
  const { destination, text } = collectLog();
  const log = createLogger({ level: 'info', scrubber: createScrubber(), destination });
  (await connectRedis({ kind: 'single', url }, [], log)).close();
  return text();
}
