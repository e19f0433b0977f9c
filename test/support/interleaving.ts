import pg from 'pg';
import { type Database, surviveBreaks } from '../../db/client.ts';
import { type ActorSlot, awaitTurn, type CrashKind, openSlot, release } from './actor-slot.ts';

export interface Crash {
  readonly actor: number;
  /** Counted from 0. */
  readonly step: number;
  readonly kind: CrashKind;
}

/** Who moves when: each turn lets one of the actors that can move take some steps in a row. */
export interface Schedule {
  readonly turns: readonly { readonly pick: number; readonly steps: number }[];
  readonly crashes: readonly Crash[];
}

/** One of several that work at once. Each statement waits for its turn, and so does each `step`. */
export interface Actor {
  readonly name: string;
  act(db: Database, step: (what: string) => Promise<void>): Promise<void>;
}

/** Something that others can see now: a statement outside of a transaction, or the end of one. */
export interface VisibleStep {
  readonly actor: number;
  readonly what: string;
  /** Whether an actor that had waited for a lock went on at the same time. */
  readonly others: boolean;
}

/** Lets actors take turns, statement by statement, on a real Postgres. */
export interface InterleavingHarness extends AsyncDisposable {
  /**
   * Runs actors until all have ended, and notes in `trace` what happened, a line each. `check` is called after every
   * step that others can see. Fails when `check` does, or an actor that has not crashed.
   */
  run(
    actors: readonly Actor[],
    schedule: Schedule,
    check: (step: VisibleStep) => Promise<void>,
    trace: string[],
  ): Promise<void>;
}

/** A harness for at most `size` actors, whose connections are kept from run to run. */
export async function openHarness(url: string, size: number): Promise<InterleavingHarness> {
  const monitor = new pg.Pool({ connectionString: url, max: 2, onConnect: surviveBreaks });
  const terminate = async (backend: number) => {
    await monitor.query('select pg_terminate_backend($1, 10000)', [backend]);
  };
  const slots = Array.from({ length: size }, () => openSlot(url, terminate));

  return {
    async run(actors, schedule, check, trace) {
      const used = slots.slice(0, actors.length);
      const failures: unknown[] = [];
      for (const [index, slot] of used.entries()) begin(slot, actors[index] as Actor, failures);
      try {
        await settle(monitor, used);
        for (const slot of movers(used, schedule)) {
          await move(monitor, used, slot, { actors, schedule, trace });
          const others = used.some((other) => other.visible && other !== slot);
          if (slot.visible || others)
            await check({ actor: used.indexOf(slot), what: trace.at(-1) ?? '', others });
          for (const each of used) each.visible = false;
          if (failures.length > 0) throw failures[0];
        }
      } finally {
        await endAll(monitor, used);
      }
    },
    async [Symbol.asyncDispose]() {
      await monitor.end();
      await Promise.all(slots.map((slot) => slot.db.destroy()));
    },
  };
}

function begin(slot: ActorSlot, actor: Actor, failures: unknown[]): void {
  Object.assign(slot, {
    pending: undefined,
    moving: true,
    dead: false,
    inTransaction: false,
    visible: false,
    steps: 0,
  });
  const step = async (what: string) => {
    await awaitTurn(slot, what);
  };
  actor
    .act(slot.db, step)
    .catch((error: unknown) => {
      if (!slot.dead) failures.push(error);
    })
    .finally(() => {
      slot.moving = false;
      slot.arrived();
    });
}

/** Waits until each actor is at a step, has ended, or waits for a lock that another one holds. */
async function settle(monitor: pg.Pool, slots: readonly ActorSlot[]): Promise<void> {
  const isHolder = (slot: ActorSlot) => slot.inTransaction && !slot.moving;
  for (;;) {
    const moving = slots.filter((slot) => slot.moving);
    if (moving.length === 0) return;
    const arrival = Promise.race(
      moving.map((slot) => new Promise<void>((resolve) => (slot.arrived = resolve))),
    );
    if (moving.length === 1 && !slots.some(isHolder)) {
      await arrival;
      continue;
    }
    const blockers = await readBlockers(monitor);
    // One that waits for no actor has only not been woken yet; when all wait for each other, Postgres ends it.
    const holders = new Set(slots.filter(isHolder).map((slot) => slot.backend));
    if (moving.every((slot) => !slot.moving || waitsFor(holders, slot.backend, blockers))) return;
  }
}

/** Ends all actors that have not come to an end. */
async function endAll(monitor: pg.Pool, slots: readonly ActorSlot[]): Promise<void> {
  while (slots.some((slot) => slot.pending !== undefined || slot.moving)) {
    for (const slot of slots) {
      slot.dead = true;
      if (slot.pending !== undefined) release(slot, 'dies');
    }
    await settle(monitor, slots);
  }
}

interface RunParts {
  readonly actors: readonly Actor[];
  readonly schedule: Schedule;
  readonly trace: string[];
}

async function move(
  monitor: pg.Pool,
  slots: readonly ActorSlot[],
  slot: ActorSlot,
  { actors, schedule, trace }: RunParts,
): Promise<void> {
  const { pending } = slot;
  if (pending === undefined) return;
  const actor = slots.indexOf(slot);
  const name = actors[actor]?.name;
  const crash = schedule.crashes.find((each) => each.actor === actor && each.step === slot.steps);
  trace.push(`${name}: ${pending.what}${crash === undefined ? '' : ` — ${crash.kind}`}`);
  slot.steps += 1;
  release(slot, crash?.kind ?? 'goes_on');
  await settle(monitor, slots);
  if (slot.moving) trace.push(`  ${name} waits for a lock`);
}

/** The backends that wait for a lock at this moment, and for which others. */
async function readBlockers(monitor: pg.Pool): Promise<ReadonlyMap<number, readonly number[]>> {
  const { rows } = await monitor.query<{ pid: number; by: number[] }>(
    'select pid, pg_blocking_pids(pid) as by from pg_locks where not granted',
  );
  return new Map(rows.map((row) => [row.pid, row.by]));
}

/** Whether a backend waits for one of the holders, or for one that does. */
function waitsFor(
  holders: ReadonlySet<number | undefined>,
  backend: number | undefined,
  blockers: ReadonlyMap<number, readonly number[]>,
): boolean {
  const seen = new Set<number>();
  const search = (pid: number): boolean => {
    if (seen.has(pid)) return false;
    seen.add(pid);
    return (blockers.get(pid) ?? []).some((by) => holders.has(by) || search(by));
  };
  return backend !== undefined && search(backend);
}

/** Whose turn it is, until no actor can move. */
function* movers(slots: readonly ActorSlot[], schedule: Schedule): Generator<ActorSlot> {
  const turns = schedule.turns.values();
  for (;;) {
    const { pick, steps } = turns.next().value ?? { pick: 0, steps: 1 };
    const able = slots.filter((slot) => slot.pending !== undefined);
    const slot = able[pick % able.length];
    if (slot === undefined) return;
    for (let step = 0; step < steps && slot.pending !== undefined; step += 1) yield slot;
  }
}
