import pg from 'pg';
import { type Database, surviveBreaks } from '../../db/client.ts';
import { connectGated, type Statement } from './gated-database.ts';

/** What is done to a player instead of letting it take a step, or after it. */
export type CrashKind =
  /** Its process ends: its transaction is rolled back, and nothing of it is heard again. */
  | 'dies'
  /** Its connection breaks before the statement arrives; the process goes on. */
  | 'cut_before'
  /** Its connection breaks after the statement was carried out, so that it can't know whether it was. */
  | 'cut_after';

export interface Crash {
  readonly player: number;
  /** Counted from 0. */
  readonly step: number;
  readonly kind: CrashKind;
}

/** Who moves when: each turn lets one of the players that can move take some steps in a row. */
export interface Schedule {
  readonly turns: readonly { readonly pick: number; readonly steps: number }[];
  readonly crashes: readonly Crash[];
}

/** What somebody does. Each statement waits for its turn, and so does each `step`. */
export interface Player {
  readonly name: string;
  act(db: Database, step: (what: string) => Promise<void>): Promise<void>;
}

/** Something that others can see now: a statement outside of a transaction, or the end of one. */
export interface Sight {
  readonly player: number;
  readonly what: string;
  /** Whether somebody who had waited for a lock went on at the same time. */
  readonly others: boolean;
}

/** A stage for players who take turns, statement by statement, on a real Postgres. */
export interface Stage extends AsyncDisposable {
  /**
   * Runs players until all have ended, and notes in `trace` what happened, a line each. `look` is called after every
   * step that others can see. Fails when `look` does, or a player that has not crashed.
   */
  play(
    players: readonly Player[],
    schedule: Schedule,
    look: (sight: Sight) => Promise<void>,
    trace: string[],
  ): Promise<void>;
}

class Crashed extends Error {
  override readonly name = 'Crashed';
}

/** A connection that breaks, as the driver tells of it. */
function brokenConnection(): Error {
  return new Error('Connection terminated unexpectedly');
}

type Fate = 'go' | CrashKind;

interface Waiting {
  readonly what: string;
  readonly statement: Statement | undefined;
  readonly decide: (fate: Fate) => void;
}

/** One player's place on the stage: a database of its own, and what it waits for. */
interface Lane {
  readonly db: Database;
  waiting: Waiting | undefined;
  /** Let go, and neither at its next step nor at its end. */
  moving: boolean;
  dead: boolean;
  inTransaction: boolean;
  /** Since the last look something of it has become visible. */
  seen: boolean;
  backend: number | undefined;
  steps: number;
  /** Told when it comes to a step, or ends. */
  arrived: () => void;
}

/** A stage with room for so many players, whose connections are kept from play to play. */
export async function openStage(url: string, room: number): Promise<Stage> {
  const monitor = new pg.Pool({ connectionString: url, max: 2, onConnect: surviveBreaks });
  const lanes = Array.from({ length: room }, () => openLane(url));

  /** The backends that wait for a lock at this moment, and for whom. */
  async function blocked(): Promise<ReadonlyMap<number, readonly number[]>> {
    const { rows } = await monitor.query<{ pid: number; by: number[] }>(
      'select pid, pg_blocking_pids(pid) as by from pg_locks where not granted',
    );
    return new Map(rows.map((row) => [row.pid, row.by]));
  }

  const ends = new WeakMap<pg.PoolClient, Promise<void>>();

  /** Resolves when the connection has ended, which it may have long ago: a rollback follows a break. */
  function endOf(client: pg.PoolClient): Promise<void> {
    const end = ends.get(client) ?? new Promise<void>((resolve) => client.once('end', resolve));
    ends.set(client, end);
    return end;
  }

  async function cut(lane: Lane, { client }: Statement): Promise<void> {
    await monitor.query('select pg_terminate_backend($1, 10000)', [backendOf(client)]);
    await endOf(client);
    lane.inTransaction = false;
  }

  function openLane(databaseUrl: string): Lane {
    const lane: Lane = {
      db: connectGated(databaseUrl, async (statement) => {
        void endOf(statement.client);
        const fate = await turn(lane, statement.text.trim().replace(/\s+/g, ' ').slice(0, 60), statement);
        if (fate === 'dies' || fate === 'cut_before') {
          await cut(lane, statement);
          throw fate === 'dies' ? new Crashed() : brokenConnection();
        }
        lane.backend = backendOf(statement.client);
        const result = await statement.run();
        if (/^(begin|start transaction)/.test(statement.text)) lane.inTransaction = true;
        if (/^(commit|rollback)$/.test(statement.text)) lane.inTransaction = false;
        if (fate === 'cut_after') await cut(lane, statement);
        lane.seen = !lane.inTransaction;
        if (fate === 'cut_after') throw brokenConnection();
        return result;
      }),
      waiting: undefined,
      moving: false,
      dead: false,
      inTransaction: false,
      seen: false,
      backend: undefined,
      steps: 0,
      arrived: () => undefined,
    };
    return lane;
  }

  /** Waits until the schedule lets the player go on. The dead do not. */
  async function turn(lane: Lane, what: string, statement?: Statement): Promise<Fate> {
    if (lane.dead) throw new Crashed();
    const fate = await new Promise<Fate>((decide) => {
      lane.waiting = { what, statement, decide };
      lane.moving = false;
      lane.arrived();
    });
    if (fate === 'dies' && statement === undefined) throw new Crashed();
    return fate;
  }

  function begin(lane: Lane, player: Player, failures: unknown[]): void {
    Object.assign(lane, {
      waiting: undefined,
      moving: true,
      dead: false,
      inTransaction: false,
      seen: false,
      steps: 0,
    });
    const step = async (what: string) => {
      await turn(lane, what);
    };
    player
      .act(lane.db, step)
      .catch((error: unknown) => {
        if (!lane.dead) failures.push(error);
      })
      .finally(() => {
        lane.moving = false;
        lane.arrived();
      });
  }

  /** Waits until everybody is at a step, has ended, or waits for a lock that somebody else holds. */
  async function settle(cast: readonly Lane[]): Promise<void> {
    for (;;) {
      const moving = cast.filter((lane) => lane.moving);
      if (moving.length === 0) return;
      const arrival = Promise.race(
        moving.map((lane) => new Promise<void>((resolve) => (lane.arrived = resolve))),
      );
      const free = moving.length === 1 && !cast.some((lane) => lane.inTransaction && !lane.moving);
      if (free) {
        await arrival;
        continue;
      }
      const blockers = await blocked();
      // Who waits for nobody on the stage has only not been woken yet; when all wait for each other, Postgres ends it.
      const holders = new Set(
        cast.flatMap((lane) => (lane.inTransaction && !lane.moving ? [lane.backend] : [])),
      );
      if (moving.every((lane) => !lane.moving || waitsFor(holders, lane.backend, blockers))) return;
    }
  }

  return {
    async play(players, schedule, look, trace) {
      const cast = lanes.slice(0, players.length);
      const failures: unknown[] = [];
      for (const [index, lane] of cast.entries()) begin(lane, players[index] as Player, failures);
      try {
        await settle(cast);
        for (const lane of movers(cast, schedule)) {
          await move(cast, lane, players, schedule, trace);
          const others = cast.some((other) => other.seen && other !== lane);
          if (lane.seen || others)
            await look({ player: cast.indexOf(lane), what: trace.at(-1) ?? '', others });
          for (const each of cast) each.seen = false;
          if (failures.length > 0) throw failures[0];
        }
      } finally {
        await clear(cast);
      }
    },
    async [Symbol.asyncDispose]() {
      await monitor.end();
      await Promise.all(lanes.map((lane) => lane.db.destroy()));
    },
  };

  /** Ends everybody who has not come to an end. */
  async function clear(cast: readonly Lane[]): Promise<void> {
    while (cast.some((lane) => lane.waiting !== undefined || lane.moving)) {
      for (const lane of cast) {
        lane.dead = true;
        const { waiting } = lane;
        if (waiting === undefined) continue;
        lane.waiting = undefined;
        lane.moving = true;
        waiting.decide('dies');
      }
      await settle(cast);
    }
  }

  async function move(
    cast: readonly Lane[],
    lane: Lane,
    players: readonly Player[],
    schedule: Schedule,
    trace: string[],
  ): Promise<void> {
    const { waiting } = lane;
    if (waiting === undefined) return;
    const player = cast.indexOf(lane);
    const crash = schedule.crashes.find((each) => each.player === player && each.step === lane.steps);
    const fate = crash?.kind ?? 'go';
    trace.push(`${players[player]?.name}: ${waiting.what}${fate === 'go' ? '' : ` — ${fate}`}`);
    lane.steps += 1;
    lane.waiting = undefined;
    lane.moving = true;
    if (fate === 'dies') lane.dead = true;
    waiting.decide(fate);
    await settle(cast);
    if (lane.moving) trace.push(`  ${players[player]?.name} waits for a lock`);
  }
}

/** Whether a backend waits for one of the holders, or for somebody who does. */
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

function backendOf(client: pg.PoolClient): number {
  return (client as unknown as { processID: number }).processID;
}

/** Whose turn it is, until nobody can move. */
function* movers(cast: readonly Lane[], schedule: Schedule): Generator<Lane> {
  const turns = schedule.turns.values();
  for (;;) {
    const { pick, steps } = turns.next().value ?? { pick: 0, steps: 1 };
    const able = cast.filter((lane) => lane.waiting !== undefined);
    const lane = able[pick % able.length];
    if (lane === undefined) return;
    for (let step = 0; step < steps && lane.waiting !== undefined; step += 1) yield lane;
  }
}
