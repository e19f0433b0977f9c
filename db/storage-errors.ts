import { SilentSessionError } from './watched-session.ts';

/** The SQLSTATE of a write on a server that only reads. */
export const readOnlyState = '25006';

/** SQLSTATEs that pass by themselves, a class (two characters) or a code (five), each with its reason. */
export const transientStates: readonly (readonly [states: readonly string[], reason: string])[] = [
  [['08'], 'The connection to Postgres or to a pooler broke, or none could be made.'],
  [[readOnlyState], 'The server only reads: it is a standby, or has not been promoted yet.'],
  [['25P03', '25P04'], 'A transaction was idle or lasted too long, as on a slow machine.'],
  [['28'], 'The server refuses logins, for instance while its password changes.'],
  [['3D000'], 'The database is not there, for instance while it is restored.'],
  [
    ['40000', '40001', '40003', '40P01'],
    'Two transactions met, and Postgres undid one of them; or its end is not known.',
  ],
  [['53'], 'Memory, disk or connections ran out; others give some back, or an operator makes room.'],
  [['55006', '55P03'], 'Another session held the object or the lock.'],
  [['57'], 'An operator, a timeout, a crash or a restart broke the statement off.'],
  [['58'], 'The operating system failed the server, for instance at reading a file.'],
];

/** Errors of the network that say nothing of what was asked. */
const networkCodes: ReadonlySet<string> = new Set([
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMFILE',
  'ENETDOWN',
  'ENETRESET',
  'ENETUNREACH',
  'ENFILE',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

/** What pg, its pool and kysely say of a connection, without a code. */
const connectionWords: ReadonlySet<string> = new Set([
  'Cannot use a pool after calling end on the pool',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'Connection terminated',
  'Connection terminated due to connection timeout',
  'Connection terminated unexpectedly',
  'Postgres connection has been discarded',
  'Query read timeout',
  'The server does not support SSL connections',
  'There was an error establishing an SSL connection',
  'driver has already been destroyed',
  'timeout exceeded when trying to connect',
  'timeout expired',
]);

/** A statement that Postgres did not carry out. */
export interface Refusal {
  /** The SQLSTATE's class, `network` without one, or `program` for an error of ours. */
  readonly class: string;
  /** Says nothing of what was asked, and passes by itself. */
  readonly transient: boolean;
  /** For people: SQLSTATE and Postgres' message, without values of rows. */
  readonly reason: string;
}

const longestReason = 200;
/** Class 22 quotes the value that it refuses. */
const quotingClass = '22';

/** What an error of a statement, or on the way to it, says. */
export function refusalOf(error: unknown): Refusal {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof SilentSessionError || networkCodes.has(code) || connectionWords.has(message))
    return { class: 'network', transient: true, reason: cut(message) };
  if (!/^[0-9A-Z]{5}$/.test(code)) return { class: 'program', transient: false, reason: cut(message) };
  const stateClass = code.slice(0, 2);
  const words = stateClass === quotingClass ? message.replace(/".*"/s, '"…"').replace(/: .*/s, '') : message;
  return {
    class: stateClass,
    transient: transientStates.some(([states]) => states.includes(stateClass) || states.includes(code)),
    reason: cut(`${code}: ${words}`),
  };
}

/** Whether an error says nothing of what was asked, and passes by itself. */
export function isTransient(error: unknown): boolean {
  return refusalOf(error).transient;
}

/** The SQLSTATE of an error of Postgres, the code of one of the network or of Node; empty where there is none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** Whether a lock could not be had in time. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(error) === '55P03';
}

/** Short enough for a line, and without what Postgres can't hold. */
function cut(text: string): string {
  const clean = text.replaceAll('\0', '');
  return clean.length > longestReason ? `${clean.slice(0, longestReason)}…` : clean;
}
