import type { Share } from '../audit/accuracy.ts';
import { count, duration, percent } from '../terminal/numbers.ts';
import { printable } from '../terminal/printable.ts';
import type { FirstRead } from './first-read.ts';
import type { AppStatus, Status } from './status.ts';

/** The status as a person reads it on a terminal. */
export function formatStatus(status: Status): string {
  if (status.apps.length === 0)
    return 'No app yet: enrol accounts with `tim-mirror accounts import <file>`.\n';
  const postgres = status.postgres === null ? '' : `${status.postgres}\n\n`;
  return `${postgres}${status.apps.map(formatApp).join('\n\n')}\n`;
}

function formatApp(app: AppStatus): string {
  const { accounts, ageSeconds: age, calls, backlog } = app;
  const parts = [
    `${count(accounts.active)} active`,
    `${count(accounts.neverPolled)} never polled`,
    ...some(accounts.gone, 'gone'),
    ...some(accounts.quarantined, 'quarantined'),
    ...some(accounts.failing, 'failing'),
    ...some(accounts.awaitingConfirmation, 'awaiting a second read'),
  ];
  const rows: [string, string][] = [
    ['accounts', `${count(accounts.total)} (${parts.join(', ')})`],
    ['calls', `${calls.perSecond.toFixed(1)}/s of ${calls.limit}/s allowed (last minute)${slowed(app)}`],
    ...hintRows(app),
    [
      'age',
      age.p50 === null
        ? 'nothing read yet'
        : `half under ${duration(age.p50)}, 95 % under ${duration(age.p95)}, oldest ${duration(age.oldest)}`,
    ],
    [
      'backlog',
      `${count(backlog.neverPolled)} to read for the first time, ${count(backlog.overdue)} overdue${app.state === 'polling' || app.state === 'failing' ? `; ${duration(backlog.seconds)} of calls wait` : ''}`,
    ],
    ['delay', delay(app)],
    ...intervalRows(app),
    ...firstReadRow(app),
    ...sourceRows(app),
    ['last 15 min', outcomes(app)],
    ...shortAnswerRows(app),
    ...app.refusedWrites.map(({ sqlstate, writes, advice }): [string, string] => [
      'refused',
      `${count(writes)} writes in 15 min, ${/^\w{2}$/.test(sqlstate) ? `SQLSTATE class ${sqlstate}` : sqlstate}: ${advice}`,
    ]),
    ['accuracy', accuracy(app)],
    ['sequence', sequence(app)],
    ...app.failures.map((failure): [string, string] => [
      'reason',
      `${count(failure.accounts)} accounts: ${failure.outcome.replaceAll('_', ' ')} ${failure.code === 0 ? '' : `${failure.code} `}“${printable(failure.message)}”`,
    ]),
  ];
  return [
    `app ${app.appId}: ${headline(app)}`,
    ...(app.monthsProblem === null ? [] : [`  FEED: ${printable(app.monthsProblem)}`]),
    ...heldLines(app),
    ...rows.map(([label, text]) => `  ${label.padEnd(12)}${text}`),
  ].join('\n');
}

function slowed({ calls: { slowed: slowing } }: AppStatus): string {
  if (slowing === null) return '';
  return `; the vendor warned: no more than ${slowing.callsPerSecond}/s for ${duration(slowing.secondsLeft)}, and never less than half of the limit`;
}

/** Said only where callbacks come in, or accounts are discovered. */
function hintRows({
  hints: { accounts, unknown, discovered, leftOut },
}: AppStatus): readonly [string, string][] {
  if (accounts + unknown + discovered === 0) return [];
  return [
    [
      'hints',
      [
        `${count(accounts)} accounts put first in the queue in 15 min`,
        ...some(unknown, 'named that are not enrolled'),
        ...some(discovered, 'discovered'),
        ...some(leftOut, 'left out, for DISCOVER_ACCOUNTS_PER_HOUR is reached'),
      ].join(', '),
    ],
  ];
}

function firstReadRow({ firstRead }: AppStatus): [string, string][] {
  return firstRead === null ? [] : [['first read', formatFirstRead(firstRead)]];
}

/** How far the first read of all accounts is. */
export function formatFirstRead(firstRead: FirstRead): string {
  const { left, underWay, perSecond, secondsLeft } = firstRead;
  const rate =
    secondsLeft === null
      ? 'how long is not known yet'
      : `${perSecond.toFixed(1)}/s, ${duration(secondsLeft)} left`;
  return `${count(left)} accounts to go, ${underWay ? rate : 'nothing is read at present'}`;
}

function heldLines({ removalsHeld: held }: AppStatus): readonly string[] {
  if (held === null) return [];
  return [
    `  REMOVALS HELD since ${held.since}: ${count(held.shrunk)} accounts shrank, of ${count(held.read)} read within ${duration(held.windowSeconds)}.`,
    '  Additions go on. Look at `tim-mirror removals list`, then `removals release` or `removals discard`.',
  ];
}

/** Said only where there are such answers. */
function shortAnswerRows({ shortResponses }: AppStatus): readonly [string, string][] {
  return shortResponses === 0
    ? []
    : [['answers', `${count(shortResponses)} answers listed fewer friends than they counted (15 min)`]];
}

function delay({ delay: figures }: AppStatus): string {
  if (figures === null) return 'not known yet: it is estimated once accounts have been read';
  const { changesMissing, meanSeconds, roundRobinSeconds, changesPerDay } = figures;
  return (
    `${duration(meanSeconds)} from a change to the tables, on average, estimated (round robin: ${duration(roundRobinSeconds)}); ` +
    `of ${count(Math.round(changesPerDay))} changes a day ${count(Math.round(changesMissing))} are not in the tables yet`
  );
}

/** Said only when POLL_MIN_INTERVAL keeps accounts waiting, or the budget does not allow POLL_MAX_INTERVAL. */
function intervalRows({ interval, accounts, calls }: AppStatus): readonly [string, string][] {
  const { minSeconds, maxSeconds, effectiveMaxSeconds, minHolds } = interval;
  if (minHolds)
    return [
      [
        'interval',
        `POLL_MIN_INTERVAL ${duration(minSeconds)} decides how old the mirror is: the budget would read every account each ${duration(accounts.total / calls.limit)}`,
      ],
    ];
  if (effectiveMaxSeconds <= maxSeconds) return [];
  return [
    [
      'interval',
      `POLL_MAX_INTERVAL ${duration(maxSeconds)} gives way to the budget: half of it allows ${duration(effectiveMaxSeconds)}`,
    ],
  ];
}

/** Said only where accounts come from a source. */
function sourceRows({ accountSource: source }: AppStatus): [string, string][] {
  if (source === null) return [];
  const { synced, failing, runningSince } = source;
  const left = synced === null ? 0 : synced.vanished - synced.removed;
  return [
    ...(failing === null
      ? []
      : [
          ['source', `FAILS since ${failing.since}: ${printable(failing.failure)}`] satisfies [
            string,
            string,
          ],
        ]),
    [
      'source',
      synced === null
        ? 'of accounts: never read to its end yet'
        : `${count(synced.named)} accounts named ${duration(synced.secondsAgo)} ago, ${count(synced.enrolled)} of them new; ` +
          `${count(left)} vanished${left > 0 ? ', `accounts sync --prune` takes them out' : ''}` +
          (synced.badRows > 0 ? `; ${count(synced.badRows)} bad rows` : ''),
    ],
    ...(runningSince === null
      ? []
      : [['source', `is being read since ${runningSince}`] satisfies [string, string]]),
  ];
}

function accuracy({ accuracy: figures }: AppStatus): string {
  if (figures === null) return 'not known yet: a few accounts a minute are compared with the vendor';
  const report = ({ share, low, high }: Share) =>
    `${percent(share)} (95 % sure: ${percent(low)} to ${percent(high)})`;
  return `${report(figures.right)} of accounts right, ${report(figures.inSync)} in sync, ${count(figures.checked)} compared in 7 days`;
}

function sequence({ sequence: { reading, trusted } }: AppStatus): string {
  const reported = {
    full: 'an older one brings everything',
    changed: 'an older one brings what changed',
    ignored: 'ignored, every answer brings everything',
    unknown: 'not known yet how an older one is answered',
  }[reading];
  return trusted
    ? reported
    : `${reported}; NOT TO BE TRUSTED, groups have changed without it: full reads come more often`;
}

function headline(app: AppStatus): string {
  if (app.halt !== null) {
    const { kind, code, message, since, remedy } = app.halt;
    return (
      `HALTED since ${since}: the vendor refuses the app (${kind} ${code}: ${printable(message) || 'no words'}).\n` +
      `  ${remedy}\n  ${app.daemonRuns ? 'It goes on by itself once that is corrected.' : `Then start the daemon: ${noDaemon}.`}`
    );
  }
  if (app.state === 'failing' && app.vendorFailing !== null) {
    const { since, failed, answered, accounts, reason } = app.vendorFailing;
    return (
      `VENDOR FAILING since ${since}: ${count(accounts)} of ${count(app.accounts.total)} accounts can’t be read ` +
      `(${printable(reason) || 'no words'}).\n` +
      `  Of the calls in the last minute ${count(failed)} failed and ${count(answered)} were answered. It goes on by itself.`
    );
  }
  if (app.state === 'idle') return `IDLE: ${noDaemon}; run \`tim-mirror start\`.`;
  if (app.state === 'waiting') return `WAITING: ${app.waiting}`;
  return `polling${app.waiting === null ? '' : `. ${app.waiting}`}`;
}

const noDaemon = 'no daemon is connected to this database';

function outcomes(app: AppStatus): string {
  const reported = Object.entries(app.outcomes).map(
    ([event, times]) => `${count(times)} ${event.replaceAll('_', ' ')}`,
  );
  return reported.length === 0 ? 'no polls' : reported.join(', ');
}

function some(times: number, what: string): string[] {
  return times === 0 ? [] : [`${count(times)} ${what}`];
}
