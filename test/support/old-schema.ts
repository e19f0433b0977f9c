import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { sql } from 'kysely';
import type { Database } from '../../db/client.ts';

const folder = new URL('../../db/migrations/', import.meta.url);

/** Brings an empty database to the schema of an older release, whose migrations were all SQL. */
export async function applyOldSchema(db: Database, version: number): Promise<void> {
  await sql
    .raw(`
      create schema mirror;
      create table mirror.migration (
        version integer primary key, name text not null, checksum text not null,
        applied_at timestamptz not null default now()
      );
    `)
    .execute(db);
  const files = readdirSync(folder)
    .sort()
    .filter((file) => Number(file.slice(0, 4)) <= version);
  for (const file of files) {
    const text = readFileSync(new URL(file, folder), 'utf8');
    await sql.raw(text).execute(db);
    await sql`
      insert into mirror.migration (version, name, checksum) values
        (${Number(file.slice(0, 4))}, ${file.replace('.sql', '')}, ${createHash('sha256').update(text).digest('hex')})
    `.execute(db);
  }
}
