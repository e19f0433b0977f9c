import { assertSchema } from '../../db/migrate.ts';
import { readApps } from '../../db/queries/apps.ts';
import { discardRemovals, readHeldRemovals, releaseRemovals } from '../../db/queries/held-removals.ts';
import { jsonText } from '../../src/status/json-text.ts';
import { printable } from '../../src/status/printable.ts';
import { chooseApp, readEnvironment, withDatabase } from '../environment.ts';
import { formatCount } from '../progress.ts';

export interface RemovalsCommand {
  readonly app?: number;
  readonly json?: boolean;
}

const examplesShown = 20;

/** `removals list [--json]` */
export async function listRemovalsCommand(options: RemovalsCommand): Promise<void> {
  const environment = readEnvironment(['app', 'database']);
  const { appId } = chooseApp(environment.config, options.app);
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    const held = await readHeldRemovals(db, appId, examplesShown);
    const hold = (await readApps(db)).find((app) => app.appId === appId)?.hold;
    if (options.json === true) {
      process.stdout.write(`${jsonText({ appId, since: hold?.since ?? null, ...held })}\n`);
      return;
    }
    const lines = [
      hold === undefined
        ? 'Removals are not held.'
        : `Removals are held since ${hold.since.toISOString()}: ${hold.shrunk} accounts shrank in ${formatCount(hold.read)} polls within ten minutes.`,
      `${formatCount(held.accounts)} accounts would lose ${formatCount(held.groups)} groups and ${formatCount(held.members)} members.`,
      ...held.examples.map(
        ({ accountId, groups, members }) =>
          `  ${printable(accountId).padEnd(34)}${groups} groups, ${members} members`,
      ),
      ...(held.accounts > held.examples.length ? ['  …'] : []),
      `${formatCount(held.awaitingConfirmation)} accounts wait for a second read of their own.`,
      ...(hold === undefined
        ? []
        : [
            'Compare some with `tim-mirror fetch <account>`. If it is true: `tim-mirror removals release`.',
            'If the vendor was wrong and is well again: `tim-mirror removals discard`.',
          ]),
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  });
}

/** `removals release [--for 1h]` */
export async function releaseRemovalsCommand(options: {
  readonly app?: number;
  readonly for: number;
}): Promise<void> {
  const environment = readEnvironment(['app', 'database']);
  const { appId } = chooseApp(environment.config, options.app);
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    const released = await db.transaction().execute((trx) => releaseRemovals(trx, appId, options.for / 1000));
    process.stdout.write(
      released === undefined
        ? 'Removals are not held.\n'
        : `The removals of ${formatCount(released)} accounts are let through as soon as these are read again, which comes first.\n`,
    );
  });
}

/** `removals discard` */
export async function discardRemovalsCommand(options: { readonly app?: number }): Promise<void> {
  const environment = readEnvironment(['app', 'database']);
  const { appId } = chooseApp(environment.config, options.app);
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    const discarded = await db.transaction().execute((trx) => discardRemovals(trx, appId));
    process.stdout.write(
      discarded === undefined
        ? 'Removals are not held.\n'
        : `The removals of ${formatCount(discarded)} accounts are forgotten; these are read anew, which comes first.\n`,
    );
  });
}
