import type { Random } from '../../src/simulator/random.ts';

/** A number written as these characters, which JSON.stringify would change or refuse. */
class Literal {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Json = null | boolean | number | string | Literal | Json[] | { [key: string]: Json };

const names = [
  '家人',
  'work',
  'Work',
  ' work',
  'Caf\u00e9',
  'Cafe\u0301',
  '👨‍👩‍👧',
  '__proto__',
  'constructor',
  '',
  '"\\',
];
const members = ['alice', 'bob', 'Bob', 'carol', 'd', '0', 'user-00001', '用户'];

/** An answer of `group_get` as the vendor gives it. */
function plainAnswer(random: Random): Json {
  const groups = Array.from({ length: random.below(5) }, (_, index) => {
    const friends = members.filter(() => random.next() < 0.4);
    return {
      GroupName: names[(index * 3 + random.below(3)) % names.length] ?? '',
      FriendNumber: friends.length,
      ...(friends.length > 0 ? { To_Account: friends } : {}),
    };
  });
  return {
    ...(groups.length > 0 ? { ResultItem: groups } : {}),
    CurrentSequence: random.below(1000),
    ActionStatus: 'OK',
    ErrorCode: 0,
    ErrorInfo: '',
    ErrorDisplay: '',
  };
}

/** Numbers at and beyond every bound. */
const numbers: readonly Json[] = [
  ...[0, -1, 1.5, 2_147_483_647, 2_147_483_648, 30_003, 60_007],
  ...['-0', '9007199254740991', '9007199254740992', '9007199254740993', '1e400', '-1e400', '1e3'].map(
    (text) => new Literal(text),
  ),
];

/** Texts that are none of the vendor's, or that Postgres can't hold. */
const texts: readonly string[] = [
  ...['', '0', 'FAIL', 'OK', 'a\0b', 'half \ud800 pair', 'other half \udc00', '\ufeff', '\u202e'],
  ...['长'.repeat(341), '长'.repeat(342), 'x'.repeat(1024), 'x'.repeat(1025)],
];

const wireNames = ['GroupName', 'FriendNumber', 'To_Account', 'ResultItem', 'ErrorCode', '__proto__', 'New'];

const others: readonly ((random: Random) => Json)[] = [
  () => null,
  () => true,
  () => [],
  () => ({}),
  () => [[[[[[]]]]]],
  () => ({ GroupName: 'nested', To_Account: [{ GroupName: 'deeper' }] }),
  (random) => Array.from({ length: random.below(60) }, (_, index) => `friend-${index}`),
  (random) => Array.from({ length: random.below(40) }, (_, index) => ({ GroupName: `group ${index}` })),
  (random) => random.pick(names),
  (random) => random.pick(members),
  plainAnswer,
];

/**
 * An answer that went wrong in one to three places, as JSON text: fields dropped, doubled, renamed or put elsewhere,
 * types swapped, numbers and texts at and beyond every bound.
 */
export function mutatedAnswer(random: Random): string {
  let answer = plainAnswer(random);
  for (let times = 1 + random.below(3); times > 0; times -= 1) answer = mutate(answer, random);
  const text = write(answer);
  // Now and then the connection ends in the middle.
  return random.next() < 0.01 ? text.slice(0, random.below(text.length)) : text;
}

/** Changes one place. */
function mutate(value: Json, random: Random): Json {
  if (Array.isArray(value))
    return value.length > 0 && random.next() < 0.8 ? mutateList(value, random) : stranger(random, value);
  if (value !== null && typeof value === 'object' && !(value instanceof Literal) && random.next() < 0.9)
    return mutateFields(value, random);
  return stranger(random, value);
}

function mutateList(list: readonly Json[], random: Random): Json {
  const index = random.below(list.length);
  const before = list.slice(0, index);
  const after = list.slice(index + 1);
  const item = list[index] ?? null;
  const choice = random.below(10);
  if (choice === 0) return [...before, ...after];
  if (choice === 1) return [...before, item, item, ...after];
  if (choice === 2) return [...list, random.pick(list)];
  if (choice === 3) return [...before, stranger(random, item), item, ...after];
  return [...before, mutate(item, random), ...after];
}

function mutateFields(fields: { [key: string]: Json }, random: Random): Json {
  const keys = Object.keys(fields);
  // Half of the time deeper into the groups, which are most of an answer.
  const deep = random.next() < 0.5 ? keys.filter((each) => Array.isArray(fields[each])) : [];
  const key = keys.length > 0 ? random.pick(deep.length > 0 ? deep : keys) : 'GroupName';
  const { [key]: value = null, ...rest } = fields;
  const choice = random.below(16);
  if (choice === 0) return rest;
  if (choice === 1) return { ...rest, [key.toLowerCase()]: value };
  if (choice === 2) return { ...fields, [random.pick(wireNames)]: value };
  if (choice === 3) return { ...fields, [key]: stranger(random, value) };
  return { ...fields, [key]: mutate(value, random) };
}

/** Something else; mostly of the same type, or hardly any answer would get past the first look. */
function stranger(random: Random, like: Json): Json {
  const chance = random.next();
  if (typeof like === 'string' && chance < 0.7) return random.pick(texts);
  if (typeof like === 'number' && chance < 0.7) return random.pick(numbers);
  if (chance < 0.75) return random.pick(numbers);
  return chance < 0.8 ? random.pick(texts) : random.pick(others)(random);
}

function write(value: Json): string {
  if (value instanceof Literal) return value.text;
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}:${write(each)}`)
    .join(',')}}`;
}

/** What an answer says literally, read without any of the product's own code; undefined where it is unclear. */
export interface PlainReading {
  readonly sequence: number;
  readonly groups: ReadonlyMap<
    string,
    { readonly friendNumber: number; readonly members: ReadonlySet<string> }
  >;
}

/** Reads an answer in the plainest way: the groups named in it, and in each all members listed under its name. */
export function readPlainly(text: string): PlainReading | undefined {
  try {
    const { ErrorCode: code, CurrentSequence: sequence, ResultItem: items } = JSON.parse(text);
    if (code !== 0 || !Number.isSafeInteger(sequence) || sequence < 0) return undefined;
    const groups = new Map<string, { friendNumber: number; members: Set<string> }>();
    for (const { GroupName: name, FriendNumber: count, To_Account: listed } of items ?? []) {
      const group = groups.get(name) ?? { friendNumber: count ?? listed?.length ?? 0, members: new Set() };
      for (const member of listed ?? []) group.members.add(member);
      groups.set(name, group);
    }
    return { sequence, groups };
  } catch {
    return undefined;
  }
}
