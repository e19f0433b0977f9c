import { readApps } from '../../../db/queries/apps.ts';
import { discardRemovals, readHeldRemovals, releaseRemovals } from '../../../db/queries/held-removals.ts';
import { type BelievedRemovals, readBelieved } from '../../../db/queries/shrunk-accounts.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { count, duration } from '../../../src/terminal/numbers.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { withApp } from '../../environment.ts';

interface RemovalsCommand {
  readonly app?: number;
  readonly json?: boolean;
}

const examplesShown = 20;
/** What was removed this long before a hold began may belong to what it holds. */
const believedSeconds = 600;

/** `removals list [--json]` */
export async function listRemovalsCommand(options: RemovalsCommand): Promise<void> {
  await withApp(options.app, async ({ db, app: { appId } }) => {
    const held = await readHeldRemovals(db, appId, examplesShown);
    const hold = (await readApps(db)).find((app) => app.appId === appId)?.hold;
    const believed = await readBelieved(db, appId, believedSeconds, examplesShown);
    if (options.json === true) {
      process.stdout.write(`${jsonText({ appId, since: hold?.since ?? null, ...held, believed })}\n`);
      return;
    }
    const lines = [
      hold === undefined
        ? 'Removals are not held.'
        : `Removals are held since ${hold.since.toISOString()}: ${count(hold.shrunk)} accounts shrank, of ${count(hold.read)} read within ${duration(hold.windowSeconds)}.`,
      `${count(held.accounts)} accounts would lose ${count(held.groups)} groups and ${count(held.members)} members.`,
      ...held.examples.map(
        ({ accountId, groups, members }) =>
          `  ${printable(accountId).padEnd(34)}${groups} groups, ${members} members`,
      ),
      ...(held.accounts > held.examples.length ? ['  …'] : []),
      `${count(held.awaitingConfirmation)} accounts wait for a second read of their own.`,
      ...believedLines(believed),
      ...(hold === undefined
        ? []
        : [
            'Compare some with `tim-mirror fetch <account>`. If it is true: `tim-mirror removals release`.',
            'If the vendor was wrong and answers correctly again: `tim-mirror removals discard`.',
          ]),
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  });
}

/** What two answers had agreed in before the hold began, and is not in the mirror any more. */
function believedLines({ accounts, groups, members, examples }: BelievedRemovals): readonly string[] {
  if (accounts === 0) return [];
  return [
    `In the ten minutes before, two reads agreed that ${count(accounts)} accounts had lost ${count(groups)} groups and ${count(members)} members; these are removed:`,
    ...examples.map(
      (each) =>
        `  ${printable(each.accountId).padEnd(34)}${each.groups} groups, ${each.members} members at ${each.believedAt.toISOString()}`,
    ),
    ...(accounts > examples.length ? ['  …'] : []),
    'If that was wrong, `tim-mirror sync <account>` brings back what the vendor answers now.',
  ];
}

/** `removals release [--for 1h]` */
export async function releaseRemovalsCommand(options: {
  readonly app?: number;
  readonly for: number;
}): Promise<void> {
  await withApp(options.app, async ({ db, app: { appId } }) => {
    const released = await db.transaction().execute((trx) => releaseRemovals(trx, appId, options.for / 1000));
    process.stdout.write(
      released === undefined
        ? 'Removals are not held.\n'
        : `The removals of ${count(released)} accounts are let through as soon as these are read again, which comes first.\n`,
    );
  });
}

/** `removals discard` */
export async function discardRemovalsCommand(options: { readonly app?: number }): Promise<void> {
  await withApp(options.app, async ({ db, app: { appId } }) => {
    const discarded = await db.transaction().execute((trx) => discardRemovals(trx, appId));
    process.stdout.write(
      discarded === undefined
        ? 'Removals are not held.\n'
        : `The removals of ${count(discarded)} accounts are forgotten; these are read again, which comes first.\n`,
    );
  });
}
