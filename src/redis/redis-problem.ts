import { codeOf } from '../../db/storage-errors.ts';

/** What keeps Redis from doing what the daemon asks of it. Both texts follow “Redis”. */
interface RedisProblem {
  readonly cause: string;
  readonly says: string;
  readonly remedy: string;
  /** Whether trying again is useless until the configuration has changed. */
  readonly lasting: boolean;
}

type Row = readonly [pattern: RegExp, cause: string, says: string, remedy: string, lasting?: 'lasting'];

/** By the word that Redis begins its refusal with, by the code of the network's error, or by the client's words. */
const table: readonly Row[] = [
  [/\bOOM\b/, 'out_of_memory', 'refuses writes, for its memory is full (OOM)', 'raise maxmemory'],
  [
    /\bNOREPLICAS\b/,
    'no_replicas',
    'refuses writes, for too few replicas follow it (NOREPLICAS)',
    'look at its replicas and at min-replicas-to-write',
  ],
  [
    // Scripts say it in other words than commands do, and servers before 7.0 in others again.
    /\bNOPERM\b|ACL failure in script|user executing the script can/,
    'rights',
    'does not let its user run a command (NOPERM)',
    'give the user of REDIS_URL +@all on the keys {tim*',
    'lasting',
  ],
  [
    /\bMISCONF\b/,
    'disk',
    'refuses writes, for it cannot save to its disk (MISCONF)',
    'make room, or turn saving off: tim-mirror needs none',
  ],
  [/\bREADONLY\b/, 'read_only', 'only reads (READONLY)', 'let REDIS_URL name the primary'],
  [
    /\bWRONGPASS\b|\bNOAUTH\b|invalid username-password|without any password/,
    'login',
    'refuses the user or password',
    'check both in REDIS_URL',
    'lasting',
  ],
  [
    /DB index|invalid DB/i,
    'no_database',
    'has no database of that number',
    'correct the number behind the host in REDIS_URL',
    'lasting',
  ],
  [
    /altnames|ALTNAME/,
    'tls',
    'shows a certificate for another host',
    'let REDIS_URL name the host that the certificate names',
    'lasting',
  ],
  [
    /CERT_|certificate/i,
    'tls',
    'shows a certificate that is not trusted',
    'have NODE_EXTRA_CA_CERTS name the file of its CA',
    'lasting',
  ],
  [
    /wrong version number|packet length too long|EPROTO|SSL routines/i,
    'tls',
    'speaks no TLS there',
    'write redis:// for rediss:// in REDIS_URL, or name its TLS port',
    'lasting',
  ],
  [/\bLOADING\b/, 'starting', 'is loading its data', 'wait'],
  [/\b(CLUSTERDOWN|MASTERDOWN)\b/, 'away', 'has lost a master', 'look at its nodes'],
  [
    /ENOTFOUND|EAI_AGAIN/,
    'host_unknown',
    'has a host name that DNS does not know',
    'check REDIS_URL, and DNS',
  ],
];

const away: RedisProblem = {
  cause: 'away',
  says: 'does not answer',
  remedy: 'check REDIS_URL, that it is running, and whether it speaks TLS there (rediss) or not (redis)',
  lasting: false,
};

const clientErrors: ReadonlySet<string> = new Set([
  'ClusterAllFailedError',
  'MaxRetriesPerRequestError',
  'ReplyError',
]);

/** Whether an error is Redis' refusal of a command, or the client's for want of a connection. */
export function isRedisError(error: unknown): error is Error {
  return (
    error instanceof Error &&
    (clientErrors.has(error.name) ||
      /^(Connection is closed|Stream isn't writeable|Command timed out)/.test(error.message))
  );
}

/** What an error of Redis, or of the way there, says. */
export function redisProblemOf(error: unknown): RedisProblem {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  const text = `${codeOf(error)} ${error instanceof Error ? error.message : ''} ${codeOf(cause)} ${cause?.message ?? ''}`;
  return problemIn(table.find(([pattern]) => pattern.test(text)));
}

/** The problem of a cause that another process has named. */
export function redisProblemByCause(cause: string): RedisProblem {
  return cause === away.cause ? away : problemIn(table.find((row) => row[1] === cause));
}

function problemIn(row: Row | undefined): RedisProblem {
  if (row === undefined) return away;
  const [, cause, says, remedy, lasting] = row;
  return { cause, says, remedy, lasting: lasting !== undefined };
}

/** A problem in a sentence. */
export function describeRedisProblem({ says, remedy }: RedisProblem, place = ''): string {
  return `Redis${place === '' ? '' : ` at ${place}`} ${says}; ${remedy}.`;
}
