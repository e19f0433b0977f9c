import { type AccountRecord, readAccount } from '../../../db/queries/explain.ts';
import { type AccountGroup, readAccountGroups } from '../../../db/queries/mirror.ts';
import { formatGroups, second } from '../../../src/status/format-groups.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { count, duration } from '../../../src/terminal/numbers.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { CommandError } from '../../command-error.ts';
import { withMirroredApp } from '../../environment.ts';

interface GroupsCommand {
  readonly app?: number;
  readonly json?: boolean;
  readonly at?: Date;
}

/** Where the width of a terminal is not known. */
const usualWidth = 110;

/** `groups <account> [--json] [--at <time>]` */
export async function groupsCommand(accountId: string, options: GroupsCommand): Promise<void> {
  await withMirroredApp(options.app, async (db, appId) => {
    // Before its groups: they are then at least as new as it says.
    const account = await readAccount(db, appId, accountId);
    const groups = await readAccountGroups(db, appId, accountId, options.at);
    if (account === undefined && groups.length === 0) {
      throw new CommandError(
        options.at === undefined
          ? `${printable(accountId)} is not enrolled; enrol it with: tim-mirror accounts add ${printable(accountId)}`
          : `${printable(accountId)} is not enrolled, and had no groups then.`,
      );
    }
    process.stdout.write(
      options.json === true
        ? `${jsonText(asJson(appId, accountId, options.at, account, groups))}\n`
        : `${headline(accountId, options.at, account, groups)}\n${formatGroups(groups, process.stdout.columns ?? usualWidth)}`,
    );
  });
}

function asJson(
  appId: number,
  accountId: string,
  at: Date | undefined,
  account: AccountRecord | undefined,
  groups: readonly AccountGroup[],
) {
  return {
    ...{ appId, accountId, at: at ?? null },
    status: account?.status ?? null,
    verifiedAt: account?.verifiedAt ?? null,
    groups,
  };
}

function headline(
  accountId: string,
  at: Date | undefined,
  account: AccountRecord | undefined,
  groups: readonly AccountGroup[],
): string {
  const members = groups.reduce((sum, group) => sum + group.members.length, 0);
  const holds = `${printable(accountId)}: ${count(groups.length)} groups, ${count(members)} members`;
  if (at !== undefined) return `${holds}, as the mirror knew them at ${second(at)}`;
  if (account === undefined) return `${holds}, not enrolled any more`;
  if (account.verifiedAt === null)
    return `${holds}, ${account.status === 'never_polled' ? '' : `${account.status}: `}never polled`;
  const age = (account.now.getTime() - account.verifiedAt.getTime()) / 1000;
  return `${holds}, ${account.status}, as of ${second(account.verifiedAt)} (${duration(age)} ago)`;
}
