import { Socket } from 'node:net';
import type pg from 'pg';

/** A session gave no answer within its limit, and was ended. */
export class SilentSessionError extends Error {
  override readonly name = 'SilentSessionError';

  constructor(limitMs: number) {
    super(`Postgres has not answered a statement for ${limitMs / 1000} s`);
  }
}

interface SessionWatch {
  /** A statement without an answer for this long ends its session; 0 for no such limit. */
  readonly silentMs: number;
  /** Receives the error of each statement that failed. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

/**
 * Ends a session that does not answer: its statements fail, and its pool makes another. The driver's own limit
 * (`query_timeout`) fails the statement alone, and the session goes back to the pool as if it were well.
 */
export function watchSession(client: pg.ClientBase, { silentMs, onFailure }: SessionWatch): void {
  const send = client.query;

  function query(...given: readonly unknown[]): unknown {
    const timer =
      silentMs === 0
        ? undefined
        : setTimeout(() => breakSession(client, new SilentSessionError(silentMs)), silentMs);
    const answered = () => clearTimeout(timer);
    const failed = (error: unknown) => {
      answered();
      onFailure?.(error);
    };
    const callback = given.at(-1);
    if (typeof callback === 'function') {
      const then = (error: unknown, result: unknown) => {
        if (error) failed(error);
        else answered();
        callback(error, result);
      };
      return Reflect.apply(send, client, [...given.slice(0, -1), then]);
    }
    const sent: unknown = Reflect.apply(send, client, given);
    // A cursor of the caller's own has an end that cannot be seen here.
    if (!(sent instanceof Promise)) answered();
    else sent.then(answered, failed);
    return sent;
  }

  Object.defineProperty(client, 'query', { value: query, configurable: true, writable: true });
}

interface HeartbeatOptions {
  readonly everyMs: number;
  /** A beat without an answer for this long ends the session. */
  readonly silentMs: number;
  /** Called after each beat that was answered, with when it was sent. */
  readonly onBeat?: (sent: Moment) => void;
  readonly now?: () => Moment;
}

/** One moment by two clocks, in milliseconds: the steady one may stop while a machine is suspended, the other may be set. */
export interface Moment {
  readonly steady: number;
  readonly wall: number;
}

/** This moment. */
export function thisMoment(): Moment {
  return { steady: performance.now(), wall: Date.now() };
}

/** Milliseconds since then, by whichever clock says more. */
export function msSince(then: Moment, now: Moment = thisMoment()): number {
  return Math.max(now.steady - then.steady, now.wall - then.wall);
}

/**
 * Asks a session that seldom has statements whether it is still there and on a server that takes writes; it is ended
 * where not. Stops with the session.
 */
export function keepAsking(
  client: pg.ClientBase,
  { everyMs, silentMs, onBeat, now = thisMoment }: HeartbeatOptions,
): void {
  const ask = client.query.bind(client);
  let owed: NodeJS.Timeout | undefined;
  const beat = setInterval(() => {
    if (owed !== undefined) return;
    owed = setTimeout(() => breakSession(client, new SilentSessionError(silentMs)), silentMs);
    const sent = now();
    ask<{ only: string }>("select current_setting('transaction_read_only') as only")
      .then(({ rows }) => {
        if (rows[0]?.only === 'on') breakSession(client, new Error('the server of this session only reads'));
        else onBeat?.(sent);
      })
      .catch(() => undefined)
      .finally(() => {
        clearTimeout(owed);
        owed = undefined;
      });
  }, everyMs);
  client.once('end', () => {
    clearInterval(beat);
    clearTimeout(owed);
  });
}

/** Cuts the connection: to take leave would wait for a server that is silent. */
function breakSession(client: pg.ClientBase, error: Error): void {
  const stream: unknown = Reflect.get(Object(Reflect.get(client, 'connection')), 'stream');
  if (stream instanceof Socket) stream.destroy(error);
}
