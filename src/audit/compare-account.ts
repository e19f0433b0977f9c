import type { Database } from '../../db/client.ts';
import { type AuditableAccount, readMirroredAccount } from '../../db/queries/audit.ts';
import { changesOf, diffGroups, isEmpty } from '../sync/diff.ts';
import { doubtOf } from '../sync/doubt.ts';
import type { CallOptions, TencentClient } from '../tencent/client.ts';
import { TencentError } from '../tencent/errors.ts';
import { NoRoomError } from '../tencent/response-memory.ts';

/** How the mirror of one account compares with what the vendor answers now. */
interface Comparison {
  readonly accountId: string;
  /**
   * `stale`: the vendor says that something has changed since the last poll. `wrong`: it says that nothing has,
   * and yet the mirror differs. `unread`: the vendor gave no answer or one that contradicts itself, or the account is
   * not mirrored any more.
   */
  readonly outcome: 'equal' | 'stale' | 'wrong' | 'unread';
  /** What would have to be written, a line each, such as `+ 家人 / bob`. */
  readonly differences: readonly string[];
  /** The error that the vendor reported instead of the account. */
  readonly error?: TencentError;
}

interface CompareDeps {
  readonly db: Database;
  readonly client: TencentClient;
}

/**
 * Reads an account in full and compares it with the mirror. A difference under the same sequence is read a second
 * time, for the daemon may have been writing in between. Throws only when `stop` aborts.
 */
export async function compareAccount(
  { db, client }: CompareDeps,
  account: AuditableAccount,
  stop: CallOptions,
): Promise<Comparison> {
  const { accountId } = account;
  let differences: readonly string[] = [];
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const read = await client.groupGet(accountId, 0, stop).catch((error: unknown) => {
      if (error instanceof TencentError) return error;
      if (error instanceof NoRoomError) return undefined;
      throw error;
    });
    if (read instanceof TencentError) return { accountId, outcome: 'unread', differences: [], error: read };
    const mirrored = await readMirroredAccount(db, account.accountKey);
    if (read === undefined || mirrored === undefined)
      return { accountId, outcome: 'unread', differences: [] };
    const facts = { mirror: mirrored.groups, ...read, storedSequence: mirrored.sequence };
    // An answer that contradicts itself proves nothing of whom it leaves out.
    if (doubtOf(facts) === 'contradicts_itself') return { accountId, outcome: 'unread', differences: [] };
    const diff = diffGroups(mirrored.groups, read.groups);
    if (isEmpty(diff)) return { accountId, outcome: 'equal', differences: [] };
    differences = formatDifferences(diff);
    if (read.sequence !== mirrored.sequence) return { accountId, outcome: 'stale', differences };
  }
  return { accountId, outcome: 'wrong', differences };
}

function formatDifferences(diff: ReturnType<typeof diffGroups>): readonly string[] {
  const reported = changesOf(diff).map(({ kind, groupName, friendId }) => {
    const sign = kind.endsWith('_added') ? '+' : '−';
    return `${sign} ${groupName}${friendId === null ? '' : ` / ${friendId}`}`;
  });
  return reported.length > 0 ? reported : ['the vendor’s count of friends'];
}
