import { z } from 'zod';
import type { Gate } from './gated-database.ts';

interface PlanNode {
  readonly 'Node Type': string;
  readonly Schema?: string | undefined;
  readonly 'Relation Name'?: string | undefined;
  readonly 'Index Name'?: string | undefined;
  readonly 'Index Cond'?: string | undefined;
  readonly Plans?: readonly PlanNode[] | undefined;
}

const planNode: z.ZodType<PlanNode> = z.lazy(() =>
  z.object({
    'Node Type': z.string(),
    Schema: z.string().optional(),
    'Relation Name': z.string().optional(),
    'Index Name': z.string().optional(),
    'Index Cond': z.string().optional(),
    Plans: z.array(planNode).optional(),
  }),
);
const explained = z.array(z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: planNode })]) }));

/** Asks for the plan of every statement that goes through its gate. */
export interface Planner {
  readonly gate: Gate;
  /** What reads more than it is asked for, in the plans since the last time, and how many plans there were. */
  take(): { readonly plans: number; readonly scans: readonly string[] };
}

/** A planner for statements on schema mirror. Its tables `app` and `feed` have a row an app and one row. */
export function createPlanner(): Planner {
  let plans = 0;
  let scans: string[] = [];
  return {
    async gate({ text, values, run, ask }) {
      if (/^\s*(select|with|insert|update|delete)\b/i.test(text)) {
        const { rows } = await ask(`explain (verbose, format json) ${text}`, values);
        const [row] = explained.parse(rows);
        plans += 1;
        if (row !== undefined) scans.push(...wholeScans(row['QUERY PLAN'][0].Plan));
      }
      return run();
    },
    take() {
      const taken = { plans, scans };
      plans = 0;
      scans = [];
      return taken;
    },
  };
}

/** Scans of a whole table, or of a whole index. */
function wholeScans(node: PlanNode): readonly string[] {
  const below = (node.Plans ?? []).flatMap(wholeScans);
  const type = node['Node Type'];
  const whole =
    (type === 'Seq Scan' &&
      node.Schema === 'mirror' &&
      !['app', 'feed'].includes(node['Relation Name'] ?? '')) ||
    (type.includes('Index') && node['Relation Name'] !== 'app' && node['Index Cond'] === undefined);
  return whole ? [`${type} on ${node['Relation Name'] ?? node['Index Name']}`, ...below] : below;
}
