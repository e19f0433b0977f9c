import type pg from 'pg';
import type { Database } from '../../db/client.ts';
import { connectGated, type Statement } from './gated-database.ts';

/** What is done to an actor instead of letting it take a step, or after it. */
export type CrashKind =
  /** Its process ends: its transaction is rolled back, and nothing of it is heard again. */
  | 'dies'
  /** Its connection breaks before the statement arrives; the process goes on. */
  | 'cut_before'
  /** Its connection breaks after the statement was carried out, so that it can't know whether it was. */
  | 'cut_after';

/** What becomes of a step. */
export type StepOutcome = 'goes_on' | CrashKind;

/** An actor has died. */
export class CrashedError extends Error {
  override readonly name = 'CrashedError';
}

interface PendingStep {
  readonly what: string;
  readonly statement: Statement | undefined;
  readonly decide: (outcome: StepOutcome) => void;
}

/** One actor's place in a harness: a database of its own, and the step it waits at. */
export interface ActorSlot {
  readonly db: Database;
  pending: PendingStep | undefined;
  /** Released, and neither at its next step nor at its end. */
  moving: boolean;
  dead: boolean;
  inTransaction: boolean;
  /** Something of it has become visible since the last check. */
  visible: boolean;
  backend: number | undefined;
  steps: number;
  /** Called when it comes to a step, or ends. */
  arrived: () => void;
}

/** A free slot. `terminate` ends the session of a backend. */
export function openSlot(url: string, terminate: (backend: number) => Promise<void>): ActorSlot {
  const endOf = createConnectionEnds();
  const slot: ActorSlot = {
    db: connectGated(url, (statement) => gate(statement)),
    pending: undefined,
    moving: false,
    dead: false,
    inTransaction: false,
    visible: false,
    backend: undefined,
    steps: 0,
    arrived: () => undefined,
  };

  async function cut({ client }: Statement): Promise<void> {
    await terminate(backendOf(client));
    await endOf(client);
    slot.inTransaction = false;
  }

  async function gate(statement: Statement): Promise<pg.QueryResult> {
    void endOf(statement.client);
    const what = statement.text.trim().replace(/\s+/g, ' ').slice(0, 60);
    const outcome = await awaitTurn(slot, what, statement);
    if (outcome === 'dies' || outcome === 'cut_before') {
      await cut(statement);
      throw outcome === 'dies' ? new CrashedError() : brokenConnection();
    }
    slot.backend = backendOf(statement.client);
    const result = await statement.run();
    if (/^(begin|start transaction)/.test(statement.text)) slot.inTransaction = true;
    if (/^(commit|rollback)$/.test(statement.text)) slot.inTransaction = false;
    if (outcome === 'cut_after') await cut(statement);
    slot.visible = !slot.inTransaction;
    if (outcome === 'cut_after') throw brokenConnection();
    return result;
  }

  return slot;
}

/** Waits until the schedule lets the actor go on. The dead do not. */
export async function awaitTurn(slot: ActorSlot, what: string, statement?: Statement): Promise<StepOutcome> {
  if (slot.dead) throw new CrashedError();
  const outcome = await new Promise<StepOutcome>((decide) => {
    slot.pending = { what, statement, decide };
    slot.moving = false;
    slot.arrived();
  });
  if (outcome === 'dies' && statement === undefined) throw new CrashedError();
  return outcome;
}

/** Lets the actor take the step it waits at. */
export function release(slot: ActorSlot, outcome: StepOutcome): void {
  const { pending } = slot;
  slot.pending = undefined;
  slot.moving = true;
  if (outcome === 'dies') slot.dead = true;
  pending?.decide(outcome);
}

/** A connection that breaks, as the driver reports it. */
function brokenConnection(): Error {
  return new Error('Connection terminated unexpectedly');
}

function backendOf(client: pg.PoolClient): number {
  return (client as unknown as { processID: number }).processID;
}

/** Resolves when a connection has ended, which it may have long ago: a rollback follows a break. */
function createConnectionEnds() {
  const ends = new WeakMap<pg.PoolClient, Promise<void>>();
  return (client: pg.PoolClient): Promise<void> => {
    const end = ends.get(client) ?? new Promise<void>((resolve) => client.once('end', resolve));
    ends.set(client, end);
    return end;
  };
}
