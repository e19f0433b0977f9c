import { describeProblem, problemByCause } from '../../db/database-problem.ts';
import type { DaemonSession } from '../../db/queries/daemons.ts';
import { describeRedisProblem, redisProblemByCause } from '../redis/redis-problem.ts';

/** A daemon that is connected to the database now. */
export interface DaemonStatus {
  /** False while it prepares the database. */
  readonly started: boolean;
  /** Null where the role that asks may not see the sessions of others. */
  readonly since: string | null;
  /** Set while it can’t work because a required part is unavailable. */
  readonly waitsFor: { readonly part: string; readonly since: string; readonly sentence: string } | null;
}

export function daemonStatus({ started, since, waitsFor }: DaemonSession): DaemonStatus {
  return {
    started,
    since: since?.toISOString() ?? null,
    waitsFor:
      waitsFor === undefined
        ? null
        : {
            part: waitsFor.part,
            since: waitsFor.since.toISOString(),
            sentence: sentenceOf(waitsFor.part, waitsFor.cause),
          },
  };
}

function sentenceOf(part: string, cause: string): string {
  if (part === 'redis') return describeRedisProblem(redisProblemByCause(cause));
  if (part === 'schema') return 'The schema is not that of the daemon; roll out the release that fits.';
  const problem = problemByCause(cause);
  return problem === undefined ? 'Postgres does not do what polls need.' : describeProblem(problem);
}

/** What keeps daemons from working, in a sentence; undefined when none says so. */
export function reportProblem(daemons: readonly DaemonStatus[]): string | undefined {
  const waiting = daemons.filter(({ waitsFor }) => waitsFor !== null);
  const first = waiting[0]?.waitsFor;
  if (first == null) return undefined;
  const who =
    daemons.length === 1 ? 'The daemon is running' : `${waiting.length} of ${daemons.length} daemons wait`;
  return `${who}, but since ${first.since}: ${first.sentence}`;
}

/** Why daemons that live claim no accounts of an app; undefined when none lives. */
export function formatWait(daemons: readonly DaemonStatus[], dispatchedBefore: boolean): string | undefined {
  if (daemons.length === 0) return undefined;
  const problem = reportProblem(daemons);
  if (problem !== undefined) return problem;
  const [first] = daemons;
  if (first?.started !== true) return 'A daemon is starting: it prepares the database.';
  const since = first.since === null ? '' : ` since ${first.since}`;
  return `A daemon is running${since}, but ${
    dispatchedBefore ? 'has claimed no accounts of this app for ten seconds' : 'has not claimed accounts yet'
  }; its log says why, unless it has just started.`;
}
