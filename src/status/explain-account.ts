import type { Database } from '../../db/client.ts';
import { readApps } from '../../db/queries/apps.ts';
import {
  type AccountOutcomeRow,
  type AccountRecord,
  readAccount,
  readAccountOutcomes,
} from '../../db/queries/explain.ts';
import { presentRate } from '../schedule/policy.ts';
import { secondsPerUnit } from '../schedule/queue-stats.ts';
import { duration } from '../terminal/numbers.ts';
import { printable } from '../terminal/printable.ts';

/** All that is known of one account, and why it is due when it is. */
interface Explanation {
  readonly account: AccountRecord;
  /** Estimated from its polls; undefined before the second. */
  readonly changesPerDay: number | undefined;
  /** Until its turn, at the present speed of the line; undefined where that is not known. */
  readonly dueInSeconds: number | undefined;
  readonly why: string;
  /** The newest first; polls that brought nothing new are counted between them. */
  readonly outcomes: readonly (AccountOutcomeRow & { readonly uneventfulSince: number })[];
}

/** Explains an enrolled account; undefined when there is none. */
export async function explainAccount(
  db: Database,
  appId: number,
  accountId: string,
): Promise<Explanation | undefined> {
  const account = await readAccount(db, appId, accountId);
  if (account === undefined) return undefined;
  const app = (await readApps(db)).find((candidate) => candidate.appId === appId);
  const outcomes = await readAccountOutcomes(db, account.accountKey);
  const unitSeconds = secondsPerUnit(app ?? { weightSum: 0, callsPerSecond: 1 });
  const dueInSeconds = account.unitsLeft === null ? 0 : Math.max(0, account.unitsLeft * unitSeconds);
  return {
    account,
    changesPerDay: presentRate({
      decayedChanges: account.decayedChanges,
      firstPolledAt: account.firstPolledAt?.getTime(),
      lastPolledAt: account.verifiedAt?.getTime(),
      lastChangedAt: account.changedAt?.getTime(),
    }),
    dueInSeconds,
    why: describeWhy(account, dueInSeconds),
    outcomes: outcomes.map((outcome, index) => ({
      ...outcome,
      uneventfulSince:
        (index === 0 ? account.claims : (outcomes[index - 1]?.claimNo ?? 0) - 1) - outcome.claimNo,
    })),
  };
}

function describeWhy(account: AccountRecord, dueInSeconds: number): string {
  if (account.leasedUntil !== null) return 'it is being polled now';
  if (account.unitsLeft === null) return 'it is first in the queue, because a poll of it was requested';
  if (account.held !== null)
    return 'removals of the app are held, and it is read in full until they are released';
  if (account.pendingAt !== null)
    return 'its last answer left something out, and is read a second time before that is removed';
  if (account.failCount > 0)
    return `it failed ${account.failCount} times in a row and waits longer each time`;
  if (account.status === 'gone')
    return 'the vendor does not know it; it is looked at as seldom as any account';
  if (account.status === 'quarantined') return 'it is set aside and looked at once a day';
  if (account.firstPolledAt === null) return 'it has never been read';
  return dueInSeconds === 0
    ? 'its turn has come'
    : 'its weight gives it polls in proportion to the square root of its changes';
}

/** An explanation as a person reads it on a terminal. */
export function formatExplanation(explanation: Explanation): string {
  const { account, changesPerDay, dueInSeconds, why, outcomes } = explanation;
  const ago = (time: Date | null) =>
    time === null
      ? 'never'
      : `${time.toISOString()} (${duration((account.now.getTime() - time.getTime()) / 1000)} ago)`;
  const rows: (readonly [string, string])[] = [
    ['status', account.status],
    [
      'holds',
      `${account.groups} groups, ${account.members} members, sequence ${account.sequence ?? 'unknown'}`,
    ],
    ...(account.shortGroups === 0
      ? []
      : [['short', `${account.shortGroups} groups count more friends than the vendor lists`] as const]),
    ['verified', ago(account.verifiedAt)],
    ['changed', ago(account.changedAt)],
    ['read in full', ago(account.fullReadAt)],
    ['enrolled', `${ago(account.enrolledAt)}${account.inSource ? ', named by the source of accounts' : ''}`],
    [
      'changes',
      changesPerDay === undefined
        ? 'not known yet'
        : `${changesPerDay.toPrecision(2)} a day, estimated; weight ${account.weight.toPrecision(2)}`,
    ],
    ['due', `${dueInSeconds ? `in ${duration(dueInSeconds)}` : 'now'}: ${why}`],
    ...(account.held === null
      ? []
      : [
          [
            'held back',
            `${account.held.groups} groups, ${account.held.members} members since ${account.held.heldAt}`,
          ] as const,
        ]),
    ['claims', String(account.claims)],
  ];
  const reported = outcomes.flatMap(({ at, outcome, code, message, uneventfulSince }) => [
    ...(uneventfulSince > 0 ? [`  … ${uneventfulSince} without news`] : []),
    `  ${at.toISOString()}  ${printable(outcome.replaceAll('_', ' '))}${code === null || code === 0 ? '' : ` ${code}`}: ${printable(message ?? '')}`,
  ]);
  return `${[
    `account ${printable(account.accountId)} of app ${account.appId}`,
    ...rows.map(([label, text]) => `  ${label.padEnd(14)}${text}`),
    reported.length === 0 ? 'No outcome worth remembering yet.' : 'Last outcomes, newest first:',
    ...reported,
  ].join('\n')}\n`;
}
