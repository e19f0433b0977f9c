import type { MirroredGroup } from '../../db/queries/groups.ts';
import type { FriendGroup, GroupGetResponse } from '../tencent/wire.ts';

/** What an answer shows of how the vendor treats the sequence it was asked with. */
const observations = [
  /** The sequence was the current one, and no group was returned. */
  'same_told_nothing',
  /** The sequence was the current one, and all groups were returned all the same. */
  'same_told_all',
  /** The sequence was an older one, and groups that had not changed were returned too. */
  'older_told_all',
  /** The sequence was an older one, and groups that had not changed were left out. */
  'older_told_changes',
  /** The sequence moved by one. */
  'step_of_one',
  /** The sequence moved by more. */
  'step_of_more',
  /** The sequence is smaller than it was. */
  'went_back',
  /** The content changed and the sequence did not: it can't be trusted. */
  'silent_change',
] as const;
export type SequenceObservation = (typeof observations)[number];

/** After a silent change the sequence is not trusted for this long. */
export const untrustedSeconds = 7 * 86_400;

/** What an answer to `asked` shows at once, without knowing what the account held. */
export function observeStep(asked: number, answer: GroupGetResponse): readonly SequenceObservation[] {
  if (asked === 0) return [];
  const step = answer.sequence - asked;
  if (step === 0) return [answer.groups.length === 0 ? 'same_told_nothing' : 'same_told_all'];
  if (step < 0) return ['went_back'];
  return [step === 1 ? 'step_of_one' : 'step_of_more'];
}

/**
 * Whether a response to an older sequence repeats unchanged groups.
 * `truth` is the complete answer. Nothing when no group stayed, or when some of them are returned and some are not.
 */
export function observeRepeats(
  mirror: readonly MirroredGroup[],
  answer: GroupGetResponse,
  truth: readonly FriendGroup[],
): readonly SequenceObservation[] {
  const reported = new Set(answer.groups.map((group) => group.name));
  const now = new Map(truth.map((group) => [group.name, group]));
  const stayed = mirror.filter((group) => isSame(group, now.get(group.name)));
  const repeated = stayed.filter((group) => reported.has(group.name)).length;
  if (stayed.length === 0 || (repeated > 0 && repeated < stayed.length)) return [];
  return [repeated > 0 ? 'older_told_all' : 'older_told_changes'];
}

function isSame(before: MirroredGroup, now: FriendGroup | undefined): boolean {
  return (
    now !== undefined &&
    before.friendNumber === now.friendNumber &&
    new Set(before.members).symmetricDifference(new Set(now.members)).size === 0
  );
}
