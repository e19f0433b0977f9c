import type { FailureReason } from '../../db/queries/status.ts';

/** One class of what goes wrong with polls, how much there is of it, and what to do about it. */
export interface ErrorClass {
  readonly class: string;
  /** Polls of the last 15 minutes that came to it. */
  readonly polls: number;
  /** Accounts that are in it now, of the most frequent reasons. */
  readonly accounts: number;
  readonly advice: string;
}

/** What to do, for every outcome of a poll that is not as it should be. */
const advice: Readonly<Record<string, string>> = {
  rate_limited:
    'The vendor counts more calls than it allows: something else uses up the limit of the app. Find it, or lower TIM_CALLS_PER_SECOND.',
  transient:
    'Nothing, unless it lasts: the vendor or the network fails now and then, and every account is tried again by itself.',
  refused: 'The vendor refuses the app as a whole; the line above says why and what to fix.',
  gone: 'The vendor does not know these accounts. Take them out with `tim-mirror accounts remove` if they are not to come back.',
  quarantined:
    'These accounts are looked at once a day. `tim-mirror status --quarantined` lists them with the vendor’s or Postgres’ words; correct or remove their ids, or repair the database.',
  storage_failed:
    'Postgres refuses to store the answer. Line “refused” of `tim-mirror status` has the class of its SQLSTATE and what to do. After five times an account is set aside.',
  removal_pending:
    'Nothing: so much would go, or an answer contradicts itself, that the account is read a second time before rows are removed.',
  removal_held:
    'Look at `tim-mirror removals list`, then `removals release` if so much was really removed, or `removals discard`.',
};

/** Gathers outcomes and failure reasons by class, the most polls first. What went well has no class. */
export function errorsByClass(
  outcomes: Readonly<Record<string, number>>,
  failures: readonly Pick<FailureReason, 'outcome' | 'accounts'>[],
): readonly ErrorClass[] {
  return Object.entries(advice)
    .map(([name, text]) => ({
      class: name,
      polls: outcomes[name] ?? 0,
      accounts: failures
        .filter((failure) => failure.outcome === name)
        .reduce((sum, failure) => sum + failure.accounts, 0),
      advice: text,
    }))
    .filter(({ polls, accounts }) => polls + accounts > 0)
    .toSorted((a, b) => b.polls - a.polls);
}
