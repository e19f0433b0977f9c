import { z } from 'zod';
import { TencentError } from './errors.ts';

/** One friend group of an account as the vendor reports it. */
export interface FriendGroup {
  readonly name: string;
  /** The vendor's own count; nothing promises that it equals the number of members. */
  readonly friendNumber: number;
  readonly members: readonly string[];
}

/** The groups of one account at `sequence`. Names and members are free of duplicates. */
export interface GroupGetResponse {
  readonly sequence: number;
  readonly groups: readonly FriendGroup[];
}

/** The result every answer carries, whatever else is in it. */
const envelope = z.object({
  ActionStatus: z.string().nullish(),
  // The vendor's codes have five digits; a number that the tables can't hold is no code.
  ErrorCode: z.int32(),
  ErrorInfo: z.string().nullish(),
});

const groupGetBody = z.object({
  // Integers beyond 2^53-1 lose digits in JSON.parse; z.int() refuses them, so no sequence is ever stored wrong.
  CurrentSequence: z.int().nonnegative(),
  ResultItem: z
    .array(
      z.object({
        GroupName: z.string(),
        FriendNumber: z.int().min(0).max(2_147_483_647).nullish(),
        To_Account: z.array(z.string()).nullish(),
      }),
    )
    .nullish(),
});

/** Body of `group_get`; with `groupNames` the vendor ignores `lastSequence` and `NeedFriend`. */
export function groupGetRequest(request: {
  readonly accountId: string;
  readonly lastSequence?: number;
  readonly groupNames?: readonly string[];
  readonly withMembers?: boolean;
}): string {
  return JSON.stringify({
    From_Account: request.accountId,
    LastSequence: request.lastSequence,
    NeedFriend: request.withMembers === false ? undefined : 'Need_Friend_Type_Yes',
    GroupName: request.groupNames,
  });
}

/** The error envelope of a response: code and words, or undefined when the call succeeded. */
export function parseErrorEnvelope(
  body: unknown,
): { readonly code: number; readonly info: string } | undefined {
  const parsed = envelope.safeParse(body);
  if (!parsed.success) throw unclear('the answer carries no ErrorCode');
  const { ErrorCode: code, ErrorInfo: info, ActionStatus: status } = parsed.data;
  if (code === 0 && (status ?? 'OK') === 'OK') return undefined;
  return { code, info: info ?? '' };
}

/**
 * Reads a successful answer of `group_get`: tolerant of new, absent and null fields, strict about those used.
 * A group may count more friends than it lists; without `members` asked for it lists none.
 * Throws TencentError `malformed_response`, or `unstorable` for text that Postgres cannot hold.
 */
export function parseGroupGet(
  body: unknown,
  asked: { readonly members: boolean } = { members: true },
): GroupGetResponse {
  const parsed = groupGetBody.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw unclear(
      `the answer’s ${issue?.path.join('.') || 'body'} is not what the API promises (${issue?.code})`,
    );
  }
  const groups = new Map<string, { friendNumber: number; members: Set<string> }>();
  for (const item of parsed.data.ResultItem ?? []) {
    const listed = item.To_Account ?? [];
    const friendNumber = item.FriendNumber ?? listed.length;
    for (const text of [item.GroupName, ...listed]) assertStorable(text);
    const group = groups.get(item.GroupName);
    // A group reported twice is one group with the friends of both: nothing that the answer names is dropped.
    if (group === undefined) groups.set(item.GroupName, { friendNumber, members: new Set(listed) });
    else for (const member of listed) group.members.add(member);
  }
  if (asked.members) assertMembers([...groups.values()]);
  return {
    sequence: parsed.data.CurrentSequence,
    groups: [...groups].map(([name, group]) => ({
      name,
      friendNumber: group.friendNumber,
      members: [...group.members],
    })),
  };
}

/**
 * An answer that counts several friends and lists none is one without members, which was not requested. A single friend
 * who is counted and not listed may be one whose account was deleted.
 */
function assertMembers(
  groups: readonly { readonly friendNumber: number; readonly members: ReadonlySet<string> }[],
): void {
  const counted = groups.reduce((sum, group) => sum + group.friendNumber, 0);
  if (counted > 1 && groups.every((group) => group.members.size === 0))
    throw unclear(`the answer counts ${counted} friends but lists none`);
}

const maxTextBytes = 1024;

function assertStorable(text: string): void {
  if (text.includes('\0')) throw unstorable('a NUL character');
  // Postgres' indexes end at 2,700 bytes; the vendor's own bounds are 30 for a name and 32 for an id.
  if (Buffer.byteLength(text) > maxTextBytes) throw unstorable(`more than ${maxTextBytes} bytes`);
  if (!text.isWellFormed()) throw unstorable('half of a UTF-16 surrogate pair');
}

function unstorable(what: string): TencentError {
  return new TencentError(`a group name or member id contains ${what}, which Postgres cannot hold`, {
    kind: 'unstorable',
    code: 0,
  });
}

function unclear(what: string): TencentError {
  return new TencentError(what, { kind: 'malformed_response', code: 0 });
}
