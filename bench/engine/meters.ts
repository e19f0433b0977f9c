import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Database } from '../../db/client.ts';
import type { BenchServers, BenchVendor } from '../support/bench-servers.ts';
import type { HelperProcess } from '../support/helper-process.ts';
import { postgresCpuMs } from '../support/process-time.ts';

/** What everything has used up so far; of two readings the difference is what lies between them. */
export interface Reading {
  readonly ms: number;
  /** Polls that came to an end. */
  readonly polls: number;
  /** Of these, those that wrote a change. */
  readonly changed: number;
  readonly vendorCalls: number;
  readonly daemonCpuMs: number;
  readonly postgresCpuMs: number;
  readonly redisCpuMs: number;
  readonly vendorCpuMs: number;
  readonly walBytes: number;
  /** Pages written in full, because it was the first change of them after a checkpoint. */
  readonly walPageImages: number;
  /** Rows written to groups, memberships and the change feed. */
  readonly mirrorWrites: number;
  readonly statements: number;
  readonly redisCommands: number;
}

export interface Meters {
  read(): Promise<Reading>;
  close(): void;
}

const counts = z.object({ statements: z.number(), redisCommands: z.number() });

/** Meters of one daemon on servers of its own. */
export function createMeters(
  servers: BenchServers,
  db: Database,
  vendor: BenchVendor,
  daemon: HelperProcess,
): Meters {
  const redis = new Redis(servers.redis.url);
  return {
    async read() {
      const [sent, usage, vendorUsage, vendorCalls, database, info] = await Promise.all([
        daemon.ask(counts, 'counts'),
        daemon.usage(),
        vendor.process.usage(),
        vendor.calls(),
        readDatabase(db),
        redis.info('cpu'),
      ]);
      return {
        ms: performance.now(),
        ...database,
        vendorCalls,
        daemonCpuMs: usage.cpuMs,
        vendorCpuMs: vendorUsage.cpuMs,
        postgresCpuMs: postgresCpuMs(servers.postgres.folder) ?? Number.NaN,
        redisCpuMs: redisCpuMs(info),
        statements: sent.statements,
        redisCommands: sent.redisCommands,
      };
    },
    close: () => redis.disconnect(),
  };
}

function redisCpuMs(info: string): number {
  const seconds = [...info.matchAll(/used_cpu_(?:sys|user):([\d.]+)/g)].map(([, text]) => Number(text));
  return seconds.reduce((sum, each) => sum + each, 0) * 1000;
}

async function readDatabase(db: Database) {
  const { rows } = await sql<
    Pick<Reading, 'polls' | 'changed' | 'walBytes' | 'walPageImages' | 'mirrorWrites'>
  >`
    select
      -- Every claim raises claim_no, and its outcome ends the lease.
      (select sum(claim_no) - count(leased_until) from mirror.poll_state)::float8 as polls,
      (select count(*) from mirror.poll_outcome where outcome = 'changed')::float8 as changed,
      pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as "walBytes",
      (select wal_fpi from pg_stat_wal)::float8 as "walPageImages",
      (
        select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables
        where schemaname = 'mirror' and (relname like 'friend_group%' or relname like 'change_%')
      )::float8 as "mirrorWrites"
  `.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('the database has no statistics');
  return row;
}

/** What lies between two readings. */
export function between(first: Reading, last: Reading): Reading {
  return {
    ms: last.ms - first.ms,
    polls: last.polls - first.polls,
    changed: last.changed - first.changed,
    vendorCalls: last.vendorCalls - first.vendorCalls,
    daemonCpuMs: last.daemonCpuMs - first.daemonCpuMs,
    postgresCpuMs: last.postgresCpuMs - first.postgresCpuMs,
    redisCpuMs: last.redisCpuMs - first.redisCpuMs,
    vendorCpuMs: last.vendorCpuMs - first.vendorCpuMs,
    walBytes: last.walBytes - first.walBytes,
    walPageImages: last.walPageImages - first.walPageImages,
    mirrorWrites: last.mirrorWrites - first.mirrorWrites,
    statements: last.statements - first.statements,
    redisCommands: last.redisCommands - first.redisCommands,
  };
}
