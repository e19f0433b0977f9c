import { bucketMs, type CountedActivity } from '../../db/queries/activity.ts';
import type { LearningCell } from '../../db/queries/learning.ts';
import type { EvidenceCount } from '../../db/queries/sequence-evidence.ts';
import type { CalibrationSample } from '../schedule/learning.ts';

/** What was counted of an app in this process and is not in the database yet. */
export interface AppCounts {
  readonly activity: readonly CountedActivity[];
  readonly evidence: readonly EvidenceCount[];
  readonly learning: readonly LearningCell[];
}

export interface AppCounters {
  event(event: string, times?: number): void;
  evidence(observation: string): void;
  learn(sample: CalibrationSample): void;
  /** What was counted since the last call. */
  take(): AppCounts;
}

/** Counters of an app. `now` is Postgres' time: an event counts for the moment at which it happened, whenever it is stored. */
export function createAppCounters(appId: number, now: () => number): AppCounters {
  // By the moment at which a time bucket began.
  const activity = new Map<number, Map<string, number>>();
  const evidence = new Map<string, number>();
  const learning = new Map<string, LearningCell>();

  return {
    event(event, times = 1) {
      if (times === 0) return;
      const bucket = Math.floor(now() / bucketMs) * bucketMs;
      const counts = activity.get(bucket) ?? new Map<string, number>();
      activity.set(bucket, counts);
      add(counts, event, times);
    },
    evidence: (observation) => add(evidence, observation, 1),
    learn({ intervalLog2, expectedLog2, step, expected }) {
      const cell = `${intervalLog2} ${expectedLog2} ${step}`;
      const before = learning.get(cell);
      learning.set(cell, {
        appId,
        intervalLog2,
        expectedLog2,
        step,
        polls: (before?.polls ?? 0) + 1,
        expected: (before?.expected ?? 0) + expected,
      });
    },
    take() {
      const taken = {
        activity: [...activity].flatMap(([at, counts]) =>
          [...counts].map(([event, times]) => ({ appId, event, count: times, at })),
        ),
        evidence: [...evidence].map(([observation, times]) => ({ appId, observation, count: times })),
        learning: [...learning.values()],
      };
      activity.clear();
      evidence.clear();
      learning.clear();
      return taken;
    },
  };
}

function add(counts: Map<string, number>, what: string, times: number): void {
  counts.set(what, (counts.get(what) ?? 0) + times);
}
