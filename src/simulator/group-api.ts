import { z } from 'zod';
import type { Truth, TruthAccount } from './truth.ts';

/**
 * What a sequence means to the vendor. `full`: an older one brings everything; `changed`: only the groups changed
 * since; `ignored`: everything comes always. The first two send nothing when the sequence is the current one.
 */
export const readings = ['full', 'changed', 'ignored'] as const;
export type Reading = (typeof readings)[number];

/** An answer's body. */
export type Answer = Readonly<Record<string, unknown>>;

const userId = z.string().min(1).max(32);
const groupName = z
  .string()
  .min(1)
  .refine((name) => Buffer.byteLength(name) <= 30);
const groupGet = z.object({
  From_Account: userId,
  LastSequence: z.int().nonnegative().nullish(),
  NeedFriend: z.enum(['Need_Friend_Type_Yes', 'Need_Friend_Type_No']).nullish(),
  GroupName: z.array(z.string()).max(32).nullish(),
});
const groupAdd = z.object({
  From_Account: userId,
  GroupName: z.array(groupName).min(1).max(32),
  To_Account: z.array(userId).max(1000).nullish(),
});
const listed = z.array(z.looseObject({ GroupName: z.string(), To_Account: z.array(z.string()).optional() }));
const groupDelete = z.object({ From_Account: userId, GroupName: z.array(groupName).min(1).max(32) });

/** An answer that reports an error, in the vendor's form. */
export function failure(code: number, info: string): Answer {
  return { ActionStatus: 'FAIL', ErrorCode: code, ErrorInfo: info, ErrorDisplay: '' };
}

function success(fields: Answer): Answer {
  return { ...fields, ActionStatus: 'OK', ErrorCode: 0, ErrorInfo: '', ErrorDisplay: '' };
}

/** `v4/sns/group_get`. With GroupName, the sequence and `NeedFriend` do not count. */
export function answerGroupGet(truth: Truth, reading: Reading, body: unknown): Answer {
  const request = groupGet.safeParse(body);
  if (!request.success) return failure(30001, badField(request.error));
  const { From_Account: id, LastSequence: last, NeedFriend: need, GroupName: names } = request.data;
  const account = truth.account(id);
  if (account === undefined) return failure(30003, 'Err_SNS_GroupGet_Account_Not_Exist');
  const named = names ?? [];
  const reported =
    named.length > 0
      ? [...account.groups].filter(([name]) => named.includes(name))
      : [...account.groups].filter(([, group]) => isTold(reading, account, group.changedAt, last ?? 0));
  const withMembers = named.length > 0 || need === 'Need_Friend_Type_Yes';
  const items = reported.map(([name, group]) => ({
    GroupName: name,
    FriendNumber: group.members.size,
    ...(withMembers && group.members.size > 0 ? { To_Account: [...group.members] } : {}),
  }));
  // The vendor leaves an empty list out.
  return success({ ...(items.length > 0 ? { ResultItem: items } : {}), CurrentSequence: account.sequence });
}

function isTold(reading: Reading, account: TruthAccount, changedAt: number, last: number): boolean {
  if (reading === 'ignored' || last === 0 || last > account.sequence) return true;
  if (last === account.sequence) return false;
  return reading === 'full' || changedAt > last;
}

/** An answer whose groups list a third fewer friends than they count, but one at least. */
export function shorten(answer: Answer): Answer {
  const groups = listed.safeParse(answer['ResultItem']);
  if (!groups.success) return answer;
  return {
    ...answer,
    ResultItem: groups.data.map(({ To_Account: friends, ...group }) =>
      friends === undefined
        ? group
        : { ...group, To_Account: friends.slice(0, Math.max(1, Math.floor((friends.length * 2) / 3))) },
    ),
  };
}

/** `v4/sns/group_add`: makes groups, and puts friends into all of them. */
export function answerGroupAdd(truth: Truth, body: unknown): Answer {
  const request = groupAdd.safeParse(body);
  if (!request.success) return failure(30001, badField(request.error));
  const { From_Account: id, GroupName: names, To_Account: friends } = request.data;
  const account = truth.account(id);
  if (account === undefined) return failure(30003, 'Err_SNS_GroupAdd_Account_Not_Exist');
  const fresh = names.filter((name) => !account.groups.has(name));
  if (account.groups.size + fresh.length > 32) return failure(30011, 'Err_SNS_GroupAdd_Too_Many_Groups');
  if (fresh.length === 0 && !friends?.length) return failure(32216, 'Err_SNS_GroupAdd_Group_Exists');
  for (const group of fresh) truth.change(id, { kind: 'add_group', group });
  for (const group of friends?.length ? names : []) {
    truth.change(id, { kind: 'add_members', group, members: friends ?? [] });
  }
  const results = (friends ?? []).map((friend) => ({ To_Account: friend, ResultCode: 0, ResultInfo: '' }));
  return success({
    ...(results.length > 0 ? { ResultItem: results } : {}),
    CurrentSequence: truth.account(id)?.sequence,
  });
}

/** `v4/sns/group_delete`. */
export function answerGroupDelete(truth: Truth, body: unknown): Answer {
  const request = groupDelete.safeParse(body);
  if (!request.success) return failure(30001, badField(request.error));
  const { From_Account: id, GroupName: names } = request.data;
  if (!truth.has(id)) return failure(30003, 'Err_SNS_GroupDelete_Account_Not_Exist');
  for (const group of names) truth.change(id, { kind: 'remove_group', group });
  return success({ CurrentSequence: truth.account(id)?.sequence });
}

function badField(error: z.ZodError): string {
  const issue = error.issues[0];
  return `Fail to Parse json data of body, field ${issue?.path.join('.') || 'body'}: ${issue?.message}`;
}
