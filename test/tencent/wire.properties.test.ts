import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { createRandom } from '../../src/simulator/random.ts';
import { TencentError } from '../../src/tencent/errors.ts';
import { type GroupGetResponse, parseErrorEnvelope, parseGroupGet } from '../../src/tencent/wire.ts';
import { mutatedAnswer, readPlainly } from '../support/answers.ts';
import { runs } from '../support/effort.ts';
import { testSeed } from '../support/world.ts';

/** What comes of an answer: what it says, or the kind of error. */
function read(text: string): GroupGetResponse | string {
  try {
    const body: unknown = JSON.parse(text);
    const envelope = parseErrorEnvelope(body);
    return envelope === undefined ? parseGroupGet(body) : `refused with ${envelope.code}`;
  } catch (error) {
    if (error instanceof TencentError) return error.kind;
    if (error instanceof SyntaxError) return 'not JSON';
    throw error;
  }
}

/** Why an answer read this way may not be written; undefined when it may. */
function fault(answer: GroupGetResponse, text: string): string | undefined {
  const { groups, sequence } = answer;
  const reported = readPlainly(text);
  if (reported === undefined || sequence !== reported.sequence) return 'the sequence is not the answer’s';
  const mine = new Map(
    groups.map(({ name, friendNumber, members }) => [name, { friendNumber, members: new Set(members) }]),
  );
  if (mine.size !== groups.length) return 'a group is there twice';
  if (groups.some(({ members }) => new Set(members).size !== members.length))
    return 'a member is there twice';
  if (!isDeepStrictEqual(mine, reported.groups)) return 'groups or members are not the answer’s';
  if (groups.some(({ friendNumber: count }) => !(Number.isInteger(count) && count >= 0 && count < 2 ** 31)))
    return 'a count does not fit';
  const texts = groups.flatMap(({ name, members }) => [name, ...members]);
  return texts.every(isStorable) ? undefined : 'Postgres can’t hold it';
}

function isStorable(text: unknown): boolean {
  return (
    typeof text === 'string' && text.isWellFormed() && !text.includes('\0') && Buffer.byteLength(text) <= 1024
  );
}

test('100,000 answers gone wrong are read for what they say or refused with a reason, and none is a crash', () => {
  const random = createRandom(testSeed());
  const results = new Map<string, number>();
  for (let run = runs(100_000); run > 0; run -= 1) {
    const text = mutatedAnswer(random);
    const answer = read(text);
    const result =
      typeof answer === 'string' ? answer.replace(/ with .*/, '') : (fault(answer, text) ?? 'good');
    if (typeof answer !== 'string' && result !== 'good') throw new Error(`${result}: ${text}`);
    results.set(result, (results.get(result) ?? 0) + 1);
  }
  // Each way out is taken often, or the answers would not try what they are meant to.
  for (const way of ['good', 'refused', 'malformed_response', 'unstorable', 'not JSON'])
    expect(results.get(way), way).toBeGreaterThan(runs(200));
}, 60_000);
