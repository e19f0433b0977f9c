import { codeOf, readOnlyState } from './storage-errors.ts';
import { SilentSessionError } from './watched-session.ts';

/** What keeps Postgres from doing what the daemon asks of it. */
type ProblemCause =
  | 'away'
  | 'busy'
  | 'disk_full'
  | 'full'
  | 'host_unknown'
  | 'login'
  | 'no_connection'
  | 'no_database'
  | 'not_migrated'
  | 'read_only'
  | 'rights'
  | 'silent'
  | 'slow'
  | 'starting'
  | 'tls';

/** A cause in words. Both texts follow “Postgres”, and hold neither a URL nor what was sent. */
interface DatabaseProblem {
  readonly cause: ProblemCause;
  /** Such as `refuses the user or password (28P01)`. */
  readonly says: string;
  /** What to do; `DATABASE_URL` is in it for the variable that is meant. */
  readonly remedy: string;
}

type Row = readonly [codes: readonly string[], cause: ProblemCause, says: string, remedy: string];

/** The problem of a server, a database or a role that refuses all writes. */
export const readOnlyProblem: DatabaseProblem = {
  cause: 'read_only',
  says: 'only reads',
  remedy: 'let DATABASE_URL name the primary, or look at default_transaction_read_only',
};

/** By SQLSTATE, its class, or the code of an error of the network or of TLS. */
const table: readonly Row[] = [
  [
    ['28', '28000', '28P01'],
    'login',
    'refuses the user or password',
    'check both in DATABASE_URL, and pg_hba.conf',
  ],
  [['3D000'], 'no_database', 'has no such database', 'create it, or correct DATABASE_URL'],
  [[readOnlyState], readOnlyProblem.cause, readOnlyProblem.says, readOnlyProblem.remedy],
  [
    ['42501'],
    'rights',
    'does not give the user of DATABASE_URL a right it needs',
    'let its owner run: tim-mirror migrate --daemon-role <that user>',
  ],
  [['42P01', '3F000'], 'not_migrated', 'has not all tables', 'run: tim-mirror migrate'],
  [['53100'], 'disk_full', 'has no room left on its disk', 'make room'],
  [
    ['53300'],
    'no_connection',
    'has no connection left',
    'raise max_connections or the connection limit of the role, or end the connections of others',
  ],
  [['53'], 'full', 'has run out of memory or of another resource', 'look at the log of its server'],
  [['57P03'], 'starting', 'is starting up or shutting down', 'wait, or look at the log of its server'],
  [
    ['57014'],
    'slow',
    'cancels statements',
    'look for locks and for what loads the server, or for a short statement_timeout',
  ],
  [
    ['ENOTFOUND', 'EAI_AGAIN'],
    'host_unknown',
    'has a host name that DNS does not know',
    'check the host in DATABASE_URL, and DNS',
  ],
  [
    [
      'CERT_HAS_EXPIRED',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'EPROTO',
      'ERR_SSL_WRONG_VERSION_NUMBER',
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
    'tls',
    'shows a certificate that is not trusted, or speaks no TLS',
    'check sslmode and sslrootcert in DATABASE_URL',
  ],
  [
    [
      '08',
      '57',
      'ECONNABORTED',
      'ECONNREFUSED',
      'ECONNRESET',
      'EHOSTDOWN',
      'EHOSTUNREACH',
      'ENETDOWN',
      'ENETUNREACH',
      'ENOENT',
      'EPIPE',
      'ETIMEDOUT',
    ],
    'away',
    'does not answer',
    'check DATABASE_URL and that it is running',
  ],
];

/** What the driver says without a code. */
const words: readonly (readonly [text: RegExp, cause: ProblemCause, says: string, remedy: string])[] = [
  [
    /does not support SSL|establishing an SSL connection/,
    'tls',
    'refuses TLS',
    'set sslmode=disable in DATABASE_URL, or turn ssl on at the server',
  ],
  [
    /^timeout exceeded when trying to connect$/,
    'busy',
    'gives no connection within 10 s',
    'look for locks and for what loads the server',
  ],
  [
    /^Connection terminated|not queryable$|has been discarded$|^timeout expired$/,
    'away',
    'does not answer',
    'check DATABASE_URL and that it is running',
  ],
];

const silence = ['silent', 'has fallen silent', 'look at the network, at a pooler, and at locks'] as const;
/** Postgres says so in pg_hba.conf's refusal of a connection without TLS. */
const wantsTls = ['tls', 'wants TLS', 'set sslmode=verify-full in DATABASE_URL'] as const;

/** What an error says of Postgres as a whole; undefined where it is about a single statement. */
export function problemOf(error: unknown): DatabaseProblem | undefined {
  if (error instanceof SilentSessionError) return problemFrom(silence);
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : '';
  if (code === '28000' && message.includes('no encryption')) return problemFrom(wantsTls, code);
  const stateClass = /^[0-9A-Z]{5}$/.test(code) ? code.slice(0, 2) : code;
  const row =
    table.find(([codes]) => codes.includes(code)) ?? table.find(([codes]) => codes.includes(stateClass));
  if (row !== undefined) return problemFrom([row[1], row[2], row[3]], code);
  const spoken = words.find(([text]) => text.test(message));
  return spoken === undefined ? undefined : problemFrom([spoken[1], spoken[2], spoken[3]]);
}

function problemFrom(
  [cause, says, remedy]: readonly [ProblemCause, string, string],
  code?: string,
): DatabaseProblem {
  return { cause, says: code === undefined ? says : `${says} (${code})`, remedy };
}

/** The problem of a cause that another process has named; undefined for one that is unknown here. */
export function problemByCause(cause: string): DatabaseProblem | undefined {
  const row = table.find((each) => each[1] === cause);
  if (row !== undefined) return problemFrom([row[1], row[2], row[3]]);
  const spoken = words.find((each) => each[1] === cause);
  if (spoken !== undefined) return problemFrom([spoken[1], spoken[2], spoken[3]]);
  return cause === silence[0] ? problemFrom(silence) : undefined;
}

/** A problem in a sentence. `place` is where Postgres is, `variable` what names it. */
export function describeProblem(
  { says, remedy }: DatabaseProblem,
  { place = '', variable = 'DATABASE_URL' } = {},
): string {
  const at = place === '' ? '' : ` at ${place}`;
  return `Postgres${at} ${says}; ${remedy.replace('DATABASE_URL', variable)}.`;
}
