import type { Random } from './random.ts';
import type { Truth, TruthChange, TruthGroup } from './truth.ts';

/** Group names as people make them: Chinese, emoji, quotes, blanks, and pairs that differ only in bytes. */
export const groupNames: readonly string[] = [
  '家人',
  '同事',
  '大学同学',
  '高中同学',
  '朋友',
  '好朋友❤️',
  '🏀 篮球队',
  '👨‍👩‍👧 亲戚',
  '客户(重要)',
  '客户"重要"',
  "妈妈's friends",
  '工作',
  'Work',
  'work',
  ' work',
  'work ',
  'Café',
  'Cafe\u0301',
  '微信导入',
  '黑名单\\备用',
  '邻居',
  '健身房💪',
  'a;b,c',
  '未分组',
  '游戏🎮队友',
  '旅行 2025',
  '房东/中介',
  '快递&外卖',
  '老师',
  'null',
  '股票群',
  '读书会',
];

/** Fills a truth with `count` accounts, each with up to 32 groups of its fellows. Returns their ids. */
export function populate(truth: Truth, count: number, random: Random): readonly string[] {
  const width = Math.max(5, String(count).length);
  const ids = Array.from({ length: count }, (_, index) => `user-${String(index + 1).padStart(width, '0')}`);
  for (const id of ids) truth.addAccount(id);
  for (const id of ids) {
    // Most people keep a few groups, some none, one in fifty all that are allowed.
    const groups = random.next() < 0.02 ? groupNames.length : random.below(6);
    for (const group of sample(groupNames, groups, random)) {
      truth.change(id, { kind: 'add_group', group, members: sample(ids, random.below(12), random) });
    }
  }
  return ids;
}

/**
 * One change as it happens to people's groups, chosen so that it has an effect where possible. People seldom part with
 * all of their friends: of the changes that would leave none, `emptying` happen; in place of the others friends come.
 */
export function randomChange(
  truth: Truth,
  id: string,
  ids: readonly string[],
  random: Random,
  emptying = 0.005,
): TruthChange {
  const change = anyChange(truth, id, ids, random);
  const groups = truth.account(id)?.groups;
  const [first] = groups?.keys() ?? [];
  if (first === undefined || emptying === 1 || !leavesNobody(groups, change)) return change;
  if (random.next() < emptying) return change;
  return { kind: 'add_members', group: first, members: sample(ids, 2, random) };
}

/** Whether an account that has friends would have none. */
function leavesNobody(groups: ReadonlyMap<string, TruthGroup> | undefined, change: TruthChange): boolean {
  const friends = new Set([...(groups ?? [])].flatMap(([, group]) => [...group.members]));
  if (friends.size === 0) return change.kind === 'clear' || change.kind === 'remove_group';
  if (change.kind === 'clear') return true;
  if (change.kind !== 'remove_group' && change.kind !== 'remove_members') return false;
  return [...(groups ?? [])].every(([name, { members }]) => {
    if (name !== change.group) return members.size === 0;
    return change.kind === 'remove_group' || [...members].every((member) => change.members.includes(member));
  });
}

function anyChange(truth: Truth, id: string, ids: readonly string[], random: Random): TruthChange {
  const groups = [...(truth.account(id)?.groups ?? [])];
  const free = groupNames.filter((name) => groups.every(([taken]) => taken !== name));
  const chance = random.next();
  if (groups.length === 0 || (chance < 0.15 && free.length > 0)) {
    const group = free.length > 0 ? random.pick(free) : '家人';
    return { kind: 'add_group', group, members: sample(ids, random.below(8), random) };
  }
  const [group, { members }] = random.pick(groups);
  if (chance < 0.25) return { kind: 'remove_group', group };
  if (chance < 0.35 && free.length > 0) return { kind: 'rename_group', group, to: random.pick(free) };
  if (chance < 0.37) return { kind: 'clear' };
  if (chance < 0.5 && members.size > 0 && groups.length > 1) {
    return { kind: 'move_member', group, to: random.pick(groups)[0], member: random.pick([...members]) };
  }
  if (chance < 0.7 && members.size > 0) {
    return { kind: 'remove_members', group, members: [random.pick([...members])] };
  }
  return { kind: 'add_members', group, members: sample(ids, 1 + random.below(3), random) };
}

/** Different items; drawn again where one comes twice, for the lists are long and the samples short. */
function sample<T>(items: readonly T[], count: number, random: Random): readonly T[] {
  const taken = new Set<T>();
  while (taken.size < Math.min(count, items.length)) taken.add(random.pick(items));
  return [...taken];
}
