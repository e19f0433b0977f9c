import type { AppStatus } from './status.ts';

/** Shares from which on a person should look. */
const overdueShare = 0.05;
const failingShare = 0.01;
const leastAccounts = 10;

/** What is not well with an app, a sentence each, the worst first; empty when all is well. */
export function problemsOf(app: Omit<AppStatus, 'problems'>): readonly string[] {
  const { accounts, backlog, outcomes } = app;
  const many = (count: number, share: number) => count >= leastAccounts && count > share * accounts.total;
  return [
    app.halt !== null && `The vendor refuses the app: ${app.halt.remedy}`,
    app.monthsProblem !== null && app.monthsProblem,
    app.state === 'failing' &&
      app.vendorFailing !== null &&
      `Most calls to the vendor fail since ${app.vendorFailing.since}: ${app.vendorFailing.accounts} of ${accounts.total} accounts can’t be read (${app.vendorFailing.reason}).`,
    app.state === 'idle' &&
      accounts.total > 0 &&
      'Nothing is polled: no daemon is connected to this database.',
    app.waiting,
    app.removalsHeld !== null &&
      'Removals are held: many accounts shrank at once. Look at `tim-mirror removals list`.',
    (outcomes['rate_limited'] ?? 0) > 0 && 'The vendor has said “too often” in the last 15 minutes.',
    (outcomes['storage_failed'] ?? 0) > 0 &&
      'Postgres refuses to store answers: `tim-mirror status` says which and what to do, in line “refused”.',
    app.calls.slowed !== null &&
      `The vendor warns that others use up the limit of the app: ${app.calls.slowed.callsPerSecond} calls a second instead of ${app.calls.limit} for a minute. An alert never lowers it under half.`,
    app.hints.leftOut > 0 &&
      `Callbacks name more new accounts than DISCOVER_ACCOUNTS_PER_HOUR allows: ${app.hints.leftOut} were left out in 15 minutes. Raise it if they are yours.`,
    app.foreignJobs > 0 &&
      'Jobs of another installation were in this one’s queues, and were refused: two mirrors claim one identity.',
    app.sequence.trusted ||
      'The vendor’s sequence can’t be trusted on this app; accounts are read in full more often.',
    app.accuracy !== null &&
      app.accuracy.wrongLately > 0 &&
      `${app.accuracy.wrongLately} accounts were found to be wrong today or yesterday, and were read again. Once you have looked: \`tim-mirror verify --acknowledge\`.`,
    app.accountSource?.failing != null &&
      'Accounts are not synced with their source: `tim-mirror status` says why.',
    many(backlog.overdue, overdueShare) && 'Accounts wait longer than the polling policy gives them.',
    many(accounts.failing, failingShare) && 'Many accounts can’t be read at present.',
    many(accounts.quarantined, failingShare) && 'Many accounts are set aside.',
  ].filter((problem) => typeof problem === 'string');
}
