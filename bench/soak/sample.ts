import type { Redis } from 'ioredis';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Database } from '../../db/client.ts';
import type { BenchVendor } from '../support/bench-servers.ts';
import type { HelperProcess } from '../support/helper-process.ts';

/** What should stay what it is, at one moment. */
export interface Sample {
  readonly hours: number;
  readonly calls: number;
  readonly worstSecond: number;
  readonly rssMb: number;
  /** After a collection of garbage. */
  readonly heapMb: number;
  /** The daemon's, to Postgres and to Redis. */
  readonly connections: number;
  /** Of the polling state, which every poll rewrites twice. */
  readonly stateTableMb: number;
  readonly stateIndexMb: number;
  readonly redisMb: number;
  /** Groups, memberships and feed: what is added to them stays. */
  readonly historyMb: number;
}

const stats = z.object({ calls: z.number(), worstSecond: z.number() });
const heap = z.number();

/** Takes a sample. */
export async function takeSample(
  from: {
    readonly daemon: HelperProcess;
    readonly vendor: BenchVendor;
    readonly db: Database;
    readonly redis: Redis;
  },
  startedAt: number,
): Promise<Sample> {
  const [heapMb, usage, vendor, database, memory, clients] = await Promise.all([
    from.daemon.ask(heap, 'heap'),
    from.daemon.usage(),
    from.vendor.process.ask(stats, 'stats'),
    readDatabase(from.db),
    from.redis.info('memory'),
    from.redis.info('clients'),
  ]);
  return {
    hours: (performance.now() - startedAt) / 3_600_000,
    ...vendor,
    rssMb: usage.rssMb,
    heapMb,
    // One of Redis' clients is ours.
    connections: database.connections + numberIn(clients, 'connected_clients') - 1,
    stateTableMb: database.stateTableMb,
    stateIndexMb: database.stateIndexMb,
    historyMb: database.historyMb,
    redisMb: numberIn(memory, 'used_memory') / 2 ** 20,
  };
}

async function readDatabase(db: Database) {
  const { rows } = await sql<{
    connections: number;
    stateTableMb: number;
    stateIndexMb: number;
    historyMb: number;
  }>`
    select
      (
        select count(*)::integer from pg_stat_activity where application_name like 'tim-mirror%'
      ) as connections,
      pg_table_size('mirror.poll_state') / 1048576.0::float8 as "stateTableMb",
      pg_indexes_size('mirror.poll_state') / 1048576.0::float8 as "stateIndexMb",
      (
        select sum(pg_total_relation_size(relid)) / 1048576.0::float8 from pg_stat_user_tables
        where schemaname = 'mirror' and (relname like 'friend_group%' or relname like 'change_%')
      ) as "historyMb"
  `.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('the database has no statistics');
  return row;
}

function numberIn(info: string, name: string): number {
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN);
}
