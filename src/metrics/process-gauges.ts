import { Gauge, type Registry } from 'prom-client';
import type { Build } from '../build.ts';
import type { ResponseMemoryStats } from '../tencent/response-memory.ts';
import { processGauges } from './definitions.ts';

/** What a process can report of itself at any moment, without a query. */
interface ProcessState {
  readonly build: Build;
  /** Seconds since each loop last came round. */
  readonly loopAges: () => ReadonlyMap<string, number>;
  /** Seconds for which each part has not been well; 0 when it is. */
  readonly unreadyFor: () => ReadonlyMap<string, number>;
  readonly pool: {
    readonly totalCount: number;
    readonly idleCount: number;
    readonly waitingCount: number;
  };
  readonly answers: () => ResponseMemoryStats;
  /** Undefined without Redis, or while it is not known. */
  readonly redisEvicted: () => number | undefined;
}

/** Registers gauges that report the state of the process when they are asked. */
export function exposeProcess(registry: Registry, state: ProcessState): void {
  const registers = [registry];
  const { version, commit, node } = state.build;
  new Gauge({ ...processGauges.build, registers }).set({ version, commit: commit ?? '', node }, 1);
  new Gauge({
    ...processGauges.loopAge,
    registers,
    collect() {
      for (const [loop, age] of state.loopAges()) this.set({ loop }, age);
    },
  });
  new Gauge({
    ...processGauges.unready,
    registers,
    collect() {
      for (const [part, seconds] of state.unreadyFor()) this.set({ part }, seconds);
    },
  });
  new Gauge({
    ...processGauges.poolConnections,
    registers,
    collect() {
      this.set({ state: 'idle' }, state.pool.idleCount);
      this.set({ state: 'busy' }, state.pool.totalCount - state.pool.idleCount);
    },
  });
  new Gauge({
    ...processGauges.poolWaiting,
    registers,
    collect() {
      this.set(state.pool.waitingCount);
    },
  });
  new Gauge({
    ...processGauges.answerBytes,
    registers,
    collect() {
      this.set(state.answers().heldBytes);
    },
  });
  new Gauge({
    ...processGauges.responsesWaiting,
    registers,
    collect() {
      this.set(state.answers().waiting);
    },
  });
  new Gauge({
    ...processGauges.redisEvicted,
    registers,
    collect() {
      this.reset();
      const evicted = state.redisEvicted();
      if (evicted !== undefined) this.set(evicted);
    },
  });
}
