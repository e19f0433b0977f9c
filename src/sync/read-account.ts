import type { Database } from '../../db/client.ts';
import type { ClaimedAccount } from '../../db/queries/claims.ts';
import { loadGroupNames } from '../../db/queries/groups.ts';
import type { CallOptions, GroupRead, TencentClient } from '../tencent/client.ts';
import type { FriendGroup } from '../tencent/wire.ts';
import { contentHash } from './content-hash.ts';
import { contentMark, isUnexpectedlyEmpty } from './doubt.ts';
import { isConfirmed } from './judge.ts';
import type { PollPolicy } from './poll-deps.ts';

interface ReadDeps {
  readonly db: Database;
  readonly client: TencentClient;
  readonly now: () => number;
  readonly policy: PollPolicy;
}

/** One poll's calls: how they end, and the groups of each response, whatever comes of it. */
export interface PollCall extends CallOptions {
  readonly responses: (readonly FriendGroup[])[];
}

/**
 * What was read of an account: the first response, the sequence it was requested with, and a complete response. Without
 * one the first shows that nothing is new.
 */
export interface Reading {
  readonly first: GroupRead;
  readonly requested: number;
  readonly everything: GroupRead | undefined;
}

/**
 * Reads an account with the sequence stored, and in full where that leaves anything open:
 *
 *     request with the stored sequence ──▶ same content, or same sequence and no groups? ──yes──▶ nothing is new
 *                                                    │ no
 *                    everything requested, or every mirrored group named? ──yes──▶ complete
 *                                                    │ no
 *                                                    ▼
 *                                           request everything ──▶ complete
 */
export async function readAccount(deps: ReadDeps, account: ClaimedAccount, call: PollCall): Promise<Reading> {
  const read = async (sequence: number): Promise<GroupRead> => {
    const response = await deps.client.groupGet(account.accountId, sequence, call);
    call.responses.push(response.groups);
    return response;
  };
  const requested = isFullReadDue(deps, account) ? 0 : (account.sequence ?? 0);
  const first = await read(requested);
  if (showsNothingNew(account, first, requested) && !isUnconfirmedEmpty(deps, account, first))
    return { first, requested, everything: undefined };
  const complete = requested === 0 || namesAll(first, await loadGroupNames(deps.db, account.accountKey));
  return { first, requested, everything: complete ? first : await read(0) };
}

function isFullReadDue({ now, policy }: ReadDeps, account: ClaimedAccount): boolean {
  if (account.sequence === null || account.fullReadAt === null) return true;
  // A tenth earlier or later by account, so that accounts enrolled together drift apart.
  const phase = (account.accountKey * 0.618_033_988_75) % 1;
  return now() - account.fullReadAt > policy.fullReadIntervalMs() * (0.9 + 0.2 * phase);
}

/**
 * The same content means that nothing is missing and nothing is new, whatever the sequence says. An empty response
 * under the same sequence means so too, unless everything was requested: then it means that there is nothing.
 */
function showsNothingNew(account: ClaimedAccount, read: GroupRead, requested: number): boolean {
  if (requested !== 0 && read.sequence === requested && read.groups.length === 0) return true;
  return account.contentHash !== null && contentHash(read.groups) === account.contentHash;
}

/** Whether a response is empty although the sequence moved, and no other one has confirmed it. */
function isUnconfirmedEmpty({ policy }: ReadDeps, account: ClaimedAccount, read: GroupRead): boolean {
  if (!isUnexpectedlyEmpty({ ...read, storedSequence: account.sequence })) return false;
  const facts = { account, answer: read, confirmAfterMs: policy.confirmRemovalAfterMs };
  return !isConfirmed(facts, contentMark(read.groups, read.sequence));
}

/** Whether a response that may hold only what changed still says something of every group that we hold. */
function namesAll(read: GroupRead, mirrored: readonly string[]): boolean {
  const named = new Set(read.groups.map((group) => group.name));
  return mirrored.every((name) => named.has(name));
}
