import type { Database } from '../../../db/client.ts';
import { readApps } from '../../../db/queries/apps.ts';
import { type SyncOutcome, syncNow } from '../../../src/accounts/sync-now.ts';
import { remedyFor } from '../../../src/tencent/errors.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { CommandError } from '../../command-error.ts';
import { withApp } from '../../environment.ts';

/** `sync <id…> [--timeout 60s]`: exit code 1 unless every account was read. */
export async function syncCommand(
  ids: readonly string[],
  options: { readonly app?: number; readonly timeout: number },
): Promise<void> {
  await withApp(options.app, async ({ db, app }) => {
    const outcomes = await syncNow(db, app.appId, [...new Set(ids)], options.timeout);
    for (const outcome of outcomes) process.stdout.write(`${report(outcome)}\n`);
    const bad = outcomes.filter(({ outcome }) => ['failed', 'waiting', 'unknown'].includes(outcome));
    if (bad.length > 0)
      throw new CommandError(
        `${bad.length} of ${outcomes.length} accounts were not read.${await describeRefusal(db, app.appId)}`,
      );
  });
}

/** What to do about an app that the vendor refuses, as `status` says it; empty for another app. */
async function describeRefusal(db: Database, appId: number): Promise<string> {
  const halt = (await readApps(db)).find((app) => app.appId === appId)?.halt;
  if (halt === undefined) return '';
  const { kind, code, message } = halt;
  return ` The vendor refuses the app with error ${code} (${message}). ${remedyFor(kind, code)}`;
}

function report({ accountId: id, outcome, state }: SyncOutcome): string {
  const accountId = printable(id);
  const holds = `${state?.groupCount ?? 0} groups, sequence ${state?.sequence ?? 'unknown'}`;
  switch (outcome) {
    case 'changed':
      return `${accountId}: changed, now ${holds}`;
    case 'unchanged':
      return `${accountId}: ${state?.status === 'gone' ? 'gone, the vendor has no such account' : `as it was, ${holds}`}`;
    case 'awaiting_confirmation':
      return `${accountId}: the answer removes much, or is empty though the sequence moved, so it is read again in a minute before it is believed`;
    case 'failed':
      return `${accountId}: failed, ${state?.errorCode ? `${state.errorCode} ` : ''}${printable(state?.error ?? 'no reason known')}`;
    case 'waiting':
      return `${accountId}: not polled yet; is \`tim-mirror start\` running, and the app not halted (see \`tim-mirror status\`)?`;
    case 'unknown':
      return `${accountId}: not enrolled; enrol it with \`tim-mirror accounts add ${accountId}\``;
  }
}
