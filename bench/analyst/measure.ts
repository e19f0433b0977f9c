import { type Kysely, sql } from 'kysely';
import { z } from 'zod';
import type { Database, DB } from '../../db/client.ts';
import { insertMembers } from '../../db/queries/groups.ts';
import { filteredGoalMs, type Question } from './questions.ts';
import { accountId } from './rows.ts';

/** How long a question takes, and how Postgres goes about it. */
export interface Answer {
  readonly name: string;
  readonly kind: Question['kind'];
  readonly rows: number;
  /** The first query about an account, when nothing of it need be in memory. */
  readonly firstMs: number;
  /** The asking right after it. */
  readonly againMs: number;
  readonly worstAgainMs: number;
  /** Null for aggregates. */
  readonly goalMs: number | null;
  readonly met: boolean;
  /** The plan's nodes that read tables, outermost first. */
  readonly plan: readonly string[];
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string | undefined;
  readonly 'Index Name'?: string | undefined;
  readonly Plans?: readonly PlanNode[] | undefined;
}
const planNode: z.ZodType<PlanNode> = z.lazy(() =>
  z.object({
    'Node Type': z.string(),
    'Relation Name': z.string().optional(),
    'Index Name': z.string().optional(),
    Plans: z.array(planNode).optional(),
  }),
);
const explained = z.array(z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: planNode })]) }));

/** How many people a filtered question is asked about. */
const people = 20;

/** Asks a question about several people, about each twice; one about everything once. Medians, in milliseconds. */
export async function ask(db: Kysely<DB>, question: Question): Promise<Answer> {
  const filtered = question.kind === 'filtered';
  const first: number[] = [];
  const again: number[] = [];
  let rows = 0;
  const time = async (turn: number) => {
    const started = performance.now();
    const result = await sql.raw(question.text(turn)).execute(db);
    rows = Math.max(rows, result.rows.length);
    return performance.now() - started;
  };
  for (let turn = 0; turn < (filtered ? people : 1); turn += 1) {
    first.push(await time(turn));
    if (filtered) again.push(await time(turn));
  }
  const firstMs = median(first);
  const againMs = filtered ? median(again) : firstMs;
  const goalMs = filtered ? filteredGoalMs : null;
  return {
    name: question.name,
    kind: question.kind,
    rows,
    firstMs,
    againMs,
    worstAgainMs: Math.max(...(filtered ? again : first)),
    goalMs,
    met: goalMs === null || againMs <= goalMs,
    plan: await planOf(db, question.text(0)),
  };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

async function planOf(db: Kysely<DB>, text: string): Promise<readonly string[]> {
  const { rows } = await sql.raw(`explain (format json) ${text}`).execute(db);
  const [row] = explained.parse(rows);
  return row === undefined ? [] : [...new Set(nodesOf(row['QUERY PLAN'][0].Plan))];
}

function nodesOf(node: PlanNode): readonly string[] {
  const below = (node.Plans ?? []).flatMap(nodesOf);
  const on = node['Index Name'] ?? node['Relation Name'];
  const reads =
    on !== undefined || /Gather|Hash Join|Merge Join|Nested Loop|Aggregate|Sort/.test(node['Node Type']);
  return reads ? [`${node['Node Type']}${on === undefined ? '' : ` ${on}`}`, ...below] : below;
}

/** Bytes on disk of one table with its indexes, partitions together. */
export interface TableSize {
  readonly table: string;
  readonly rows: number;
  readonly tableBytes: number;
  readonly indexBytes: number;
  readonly bytesPerRow: number;
  readonly indexes: Readonly<Record<string, number>>;
}

/** Sizes of the tables that grow with accounts; rows as the statistics count them. */
export async function measureSizes(db: Database): Promise<readonly TableSize[]> {
  const { rows } = await sql<Omit<TableSize, 'bytesPerRow'>>`
    with part as (
      select root.relname as root, leaf.relid::oid as oid
      from pg_class root, pg_partition_tree(root.oid) leaf
      where root.oid = any(array['mirror.account', 'mirror.poll_state', 'mirror.poll_outcome', 'mirror.friend_group',
        'mirror.friend_group_member', 'mirror.change']::regclass[]::oid[]) and leaf.isleaf
      union
      select relname, oid from pg_class
      where oid = any(array['mirror.account', 'mirror.poll_state', 'mirror.poll_outcome', 'mirror.friend_group',
        'mirror.friend_group_member']::regclass[]::oid[])
    ),
    -- An index of a partition goes by the name of its parent's.
    index_size as (
      select part.root, coalesce(parent.inhparent, indexrelid)::regclass::text as name,
        sum(pg_relation_size(indexrelid))::bigint as bytes
      from part join pg_index on indrelid = part.oid
      left join pg_inherits parent on parent.inhrelid = indexrelid
      group by 1, 2
    )
    select part.root as "table", sum(greatest(reltuples, 0))::bigint as rows,
      sum(pg_table_size(part.oid))::bigint as "tableBytes",
      sum(pg_indexes_size(part.oid))::bigint as "indexBytes",
      (select jsonb_object_agg(name, bytes) from index_size where index_size.root = part.root) as indexes
    from part join pg_class using (oid)
    group by part.root order by sum(pg_total_relation_size(part.oid)) desc
  `.execute(db);
  return rows.map((row) => ({
    ...row,
    bytesPerRow: row.rows === 0 ? 0 : (row.tableBytes + row.indexBytes) / row.rows,
  }));
}

const writtenAtOnce = 5000;
const writes = 10;

/** Microseconds that a new membership takes to be written, in groups here and there; nothing of it stays. */
export async function measureWrite(db: Database, accounts: number): Promise<number> {
  const undo = new Error('undo');
  let seconds = 0;
  await db
    .transaction()
    .execute(async (trx) => {
      for (let turn = 0; turn < writes; turn += 1) {
        const { rows } = await sql<{ key: number }>`
          select group_key as key from mirror.friend_group
          where account_key in (
            select 1 + (hashint8extended(number, ${turn}) & 2147483647) % ${accounts}
            from generate_series(1, ${writtenAtOnce}) number
          )
          limit ${writtenAtOnce}
        `.execute(trx);
        const keys = rows.map((row) => row.key);
        // All over the index, and not there yet.
        const members = keys.map((key) => ({
          groupKey: key,
          friendId: `${accountId((key * 31) % accounts)}.${turn}`,
        }));
        const started = performance.now();
        await insertMembers(trx, Date.now(), members);
        seconds += (performance.now() - started) / 1000 / keys.length;
      }
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  return (seconds / writes) * 1e6;
}
