import type { CallOptions, TencentClient } from '../tencent/client.ts';
import { type GroupGetResponse, groupGetRequest, parseGroupGet } from '../tencent/wire.ts';

/** One of the reads of a probe, and what it brought. */
export interface ProbeRead {
  readonly asked: string;
  readonly sequence: number;
  readonly groups: number;
  readonly members: number;
  readonly bytes: number;
}

/** What a sequence means to the vendor, as far as one account can show. */
interface ProbeFinding {
  /**
   * `full`: an older sequence brings everything; `changed`: only what changed since; `ignored`: everything comes
   * always. `unclear`: this account does not show it.
   */
  readonly reading: 'full' | 'changed' | 'ignored' | 'unclear';
  readonly reasons: readonly string[];
  /** What it means for bytes and calls. */
  readonly consequences: readonly string[];
}

interface ProbeReport {
  readonly reads: readonly ProbeRead[];
  readonly finding: ProbeFinding;
}

interface Question {
  readonly asked: string;
  readonly lastSequence?: number;
  readonly withMembers?: boolean;
  readonly groupNames?: readonly string[];
}

/** Ten harmless reads of one account, each taking a token, that find out how the vendor treats sequences. */
export async function probeSequence(
  client: TencentClient,
  accountId: string,
  stop: CallOptions,
): Promise<ProbeReport> {
  const reads: ProbeRead[] = [];
  const answers = new Map<string, GroupGetResponse>();

  async function ask(question: Question): Promise<GroupGetResponse> {
    const { asked, ...request } = question;
    const { body, error } = await client.callGroupGet(groupGetRequest({ accountId, ...request }), stop);
    if (error !== undefined) throw error;
    const answer = parseGroupGet(body, { members: question.withMembers !== false });
    reads.push({
      asked,
      sequence: answer.sequence,
      groups: answer.groups.length,
      members: answer.groups.reduce((sum, group) => sum + group.members.length, 0),
      bytes: Buffer.byteLength(JSON.stringify(body)),
    });
    answers.set(asked, answer);
    return answer;
  }

  const everything = await ask({ asked: 'sequence 0', lastSequence: 0 });
  const { sequence: now } = everything;
  const older = Math.max(now - 1, 1);
  await ask({ asked: 'no sequence' });
  const same = await ask({ asked: 'the current sequence', lastSequence: now });
  const less = await ask({ asked: 'one less', lastSequence: older });
  const half = await ask({ asked: 'half of it', lastSequence: Math.max(Math.floor(now / 2), 1) });
  const greater = await ask({ asked: 'a thousand more', lastSequence: now + 1000 });
  await ask({ asked: 'sequence 0, no members', lastSequence: 0, withMembers: false });
  await ask({ asked: 'the current one, no members', lastSequence: now, withMembers: false });
  const [first] = everything.groups;
  await ask({ asked: 'one group by name', groupNames: [first?.name ?? '我的好友'] });
  const again = await ask({ asked: 'sequence 0 again', lastSequence: 0 });

  return { reads, finding: judge({ everything, same, less, half, greater, again }, reads) };
}

interface Answers {
  readonly everything: GroupGetResponse;
  readonly same: GroupGetResponse;
  readonly less: GroupGetResponse;
  readonly half: GroupGetResponse;
  readonly greater: GroupGetResponse;
  readonly again: GroupGetResponse;
}

function judge(answers: Answers, reads: readonly ProbeRead[]): ProbeFinding {
  const { everything, same, less, half, greater, again } = answers;
  const all = everything.groups.length;
  const fullBytes = reads[0]?.bytes ?? 0;
  const sameBytes = reads.find((read) => read.asked === 'the current sequence')?.bytes ?? 0;
  const unclear = (reason: string): ProbeFinding => ({
    reading: 'unclear',
    reasons: [reason],
    consequences: [],
  });
  if (again.sequence !== everything.sequence) return unclear('The account changed meanwhile; try again.');
  if (all === 0) return unclear('The account has no groups; take one with two groups or more.');

  if (same.groups.length === all) {
    return {
      reading: 'ignored',
      reasons: ['The current sequence brought everything all the same.'],
      consequences: [
        `Every poll brings everything: ${fullBytes} bytes for this account, changed or not.`,
        'A changed account costs one call. Content is compared by its hash, so unchanged polls write nothing.',
      ],
    };
  }
  if (same.groups.length > 0) return unclear('The current sequence brought some groups and not others.');

  const nothing = `The current sequence brought nothing (${sameBytes} bytes): unchanged polls are cheap.`;
  const reset =
    greater.groups.length === all
      ? 'A greater sequence brought everything: an account that was reset is read at once.'
      : 'A greater sequence did not bring everything: an account that was reset costs a second call.';
  if (everything.sequence < 2 || all < 2) {
    return {
      reading: 'unclear',
      reasons: [
        nothing,
        'With fewer than two groups or two changes, an older sequence shows nothing; take another account.',
      ],
      consequences: [reset],
    };
  }
  const partial = [less, half].some((answer) => answer.groups.length < all);
  return partial
    ? {
        reading: 'changed',
        reasons: [nothing, `An older sequence brought ${less.groups.length} of ${all} groups.`],
        consequences: [
          'A changed account costs a second call, unless every group it has is reported.',
          reset,
        ],
      }
    : {
        reading: 'full',
        reasons: [nothing, 'An older sequence brought everything.'],
        consequences: [
          `A changed account costs one call and everything it holds, ${fullBytes} bytes here.`,
          reset,
        ],
      };
}
