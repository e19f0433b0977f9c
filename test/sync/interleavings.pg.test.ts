import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Database } from '../../db/client.ts';
import { enrolAccounts, requestPoll } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { requestFullRead } from '../../db/queries/audit.ts';
import { type ClaimedAccount, claimDue } from '../../db/queries/claims.ts';
import { lockAccount } from '../../db/queries/groups.ts';
import { discardRemovals, releaseRemovals } from '../../db/queries/held-removals.ts';
import { noteOutcomes, recordPolls } from '../../db/queries/poll-records.ts';
import { isTransient } from '../../db/storage-errors.ts';
import { removeAccounts } from '../../src/accounts/remove-accounts.ts';
import { createStop } from '../../src/lifecycle.ts';
import { answerGroupGet, type Reading, readings } from '../../src/simulator/group-api.ts';
import { createTruth, type Truth, type TruthChange } from '../../src/simulator/truth.ts';
import { contentHash } from '../../src/sync/content-hash.ts';
import { type PollResult, pollAccount } from '../../src/sync/poll-account.ts';
import type { PollDeps } from '../../src/sync/poll-deps.ts';
import { createStorageHealth } from '../../src/sync/storage-health.ts';
import type { TencentClient } from '../../src/tencent/client.ts';
import { kindOfCode, TencentError } from '../../src/tencent/errors.ts';
import {
  type FriendGroup,
  groupGetRequest,
  parseErrorEnvelope,
  parseGroupGet,
} from '../../src/tencent/wire.ts';
import { runs } from '../support/effort.ts';
import {
  type Actor,
  type InterleavingHarness,
  openHarness,
  type Schedule,
  type VisibleStep,
} from '../support/interleaving.ts';
import { currentRows, replayFeed, rowsAt } from '../support/replay.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld, testApp, type World, withOverrides } from '../support/world.ts';

const { appId } = testApp;
const id = 'alice';

let world: World;
let harness: InterleavingHarness;

beforeAll(async () => {
  world = await createWorld();
  harness = await openHarness(world.database.url, 7);
});

afterAll(async () => {
  await harness?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

/** What an operator, or the audit, does to the account while it is polled. */
const disturbances = [
  'request',
  'remove',
  'come back',
  'purge',
  'read again',
  'hold',
  'release',
  'discard',
] as const;
type Disturbance = (typeof disturbances)[number];

/** What the account's owner does: changes of groups, and going away altogether. */
type OwnerAction = TruthChange | { readonly kind: 'vanish' } | { readonly kind: 'reappear' };

interface Scenario {
  readonly reading: Reading;
  readonly before: readonly OwnerAction[];
  readonly read: boolean;
  readonly syncs: number;
  /** The first claim's job is done by a second worker too, because the first one was stopped. */
  readonly redelivered: boolean;
  readonly disturbance: readonly Disturbance[];
  /** Removals of the app are held when it begins. */
  readonly held: boolean;
  readonly ownerActions: readonly OwnerAction[];
  readonly schedule: Schedule;
}

// So few names that an account often becomes again what it was.
const group = fc.constantFrom('家人', 'Work', 'work');
const friends = fc.uniqueArray(fc.constantFrom('x', 'y', 'z'), { maxLength: 3 });
const crowd = Array.from({ length: 24 }, (_, index) => `friend-${index}`);
const ownerAction: fc.Arbitrary<OwnerAction> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add_group' as const), group, members: friends }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove_group' as const), group }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('add_members' as const), group, members: friends }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('remove_members' as const), group, members: friends }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rename_group' as const), group, to: group }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('add_members' as const, 'remove_members' as const),
      group,
      members: fc.constant(crowd),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('vanish' as const, 'reappear' as const) }) },
);
// Long turns of one actor beside short ones: a late answer is one that all others have overtaken.
const turn = fc.record({
  pick: fc.nat(11),
  steps: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 8, max: 25 })),
});
const crash = fc.record({
  actor: fc.nat(4),
  step: fc.nat(25),
  kind: fc.constantFrom('dies' as const, 'cut_before' as const, 'cut_after' as const),
});
const scenario = (meanwhile: fc.Arbitrary<readonly Disturbance[]>): fc.Arbitrary<Scenario> =>
  fc.record({
    reading: fc.constantFrom(...readings),
    before: fc.array(ownerAction, { minLength: 1, maxLength: 8 }),
    read: fc.constantFrom(true, true, false),
    syncs: fc.constantFrom(2, 3),
    redelivered: fc.boolean(),
    disturbance: meanwhile,
    held: fc.constantFrom(false, false, false, true),
    ownerActions: fc.array(ownerAction, { minLength: 1, maxLength: 6 }),
    schedule: fc.record({
      turns: fc.array(turn, { minLength: 5, maxLength: 40 }),
      crashes: fc.array(crash, { maxLength: 2 }),
    }),
  });

/** Everything the database holds of the account. */
interface Held {
  readonly key: number;
  /** Another one after it was taken out and came back. */
  readonly enrolledAt: string;
  readonly state: Record<string, unknown> | null;
  readonly groups: readonly FriendGroup[];
  readonly outcomes: readonly unknown[];
  readonly removal: unknown;
}

const nothing: Held = {
  key: 0,
  enrolledAt: '',
  state: null,
  groups: [],
  outcomes: [],
  removal: null,
};

async function look(): Promise<Held> {
  const { rows } = await sql<{ held: Held }>`
    select json_build_object(
      'key', account_key,
      'enrolledAt', enrolled_at,
      'state', (select to_json(state) from mirror.poll_state state where state.account_key = account.account_key),
      'groups', (
        select coalesce(json_agg(reported order by reported.name), '[]') from (
          select group_name as name, friend_number as "friendNumber", array(
            select friend_id from mirror.friend_group_member member
            where member.group_key = friend_group.group_key and member.removed_at is null order by friend_id
          ) as members
          from mirror.friend_group where friend_group.account_key = account.account_key and removed_at is null
        ) reported
      ),
      'outcomes', (
        select coalesce(json_agg(outcome order by claim_no), '[]')
        from mirror.poll_outcome outcome where outcome.account_key = account.account_key
      ),
      'removal', (select to_json(held) from mirror.held_removal held where held.account_key = account.account_key)
    ) as held
    from mirror.account where account_id = ${id}
  `.execute(world.db);
  return rows[0]?.held ?? nothing;
}

/** Groups as a text that is the same in whatever order they come, and that shows what is wrong where it differs. */
function report(groups: readonly FriendGroup[]): string {
  return groups
    .map(({ name, friendNumber, members }) => `${name} (${friendNumber}): ${members.toSorted()}`)
    .toSorted()
    .join('; ');
}

function truthOf(truth: Truth): readonly FriendGroup[] {
  return [...(truth.account(id)?.groups ?? [])].map(([name, { members }]) => ({
    name,
    friendNumber: members.size,
    members: [...members],
  }));
}

function change(truth: Truth, what: OwnerAction): void {
  if (what.kind === 'vanish') truth.removeAccount(id);
  else if (what.kind === 'reappear') truth.addAccount(id);
  else truth.change(id, what);
}

/** A worker's view: what it has claimed, and the last response. */
interface Worker {
  claim?: ClaimedAccount;
  /** When the account that it has claimed was enrolled. */
  enrolledAt?: string;
  result?: PollResult;
  /** What the vendor held when it answered last. */
  truth?: readonly FriendGroup[];
}

/** One run of a scenario. */
class Run {
  readonly truth = createTruth();
  readonly workers: Worker[] = [];
  readonly trace: string[] = [];
  readonly scenario: Scenario;
  requested = false;
  doubted = false;
  last = nothing;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
  }
}

/** The vendor, whose answers may take as long as they like. */
function vendorOf(run: Run, worker: Worker, step: (what: string) => Promise<void>): TencentClient {
  return {
    async groupGet(accountId, lastSequence) {
      const sentAt = world.deps.now();
      await step(`asks since ${lastSequence}`);
      const request: unknown = JSON.parse(groupGetRequest({ accountId, lastSequence }));
      const answer = answerGroupGet(run.truth, run.scenario.reading, request);
      worker.truth = truthOf(run.truth);
      await step('is answered');
      const envelope = parseErrorEnvelope(answer);
      if (envelope === undefined) return { sentAt, ...parseGroupGet(answer) };
      throw new TencentError(envelope.info, { kind: kindOfCode(envelope.code), code: envelope.code, sentAt });
    },
    callGroupGet: () => Promise.reject(new Error('not called')),
    close: async () => undefined,
  };
}

function depsOf(run: Run, worker: Worker, db: Database, step: (what: string) => Promise<void>): PollDeps {
  return withOverrides(world.deps, {
    db,
    client: vendorOf(run, worker, step),
    policy: { confirmRemovalAfterMs: 0 },
    health: { storage: createStorageHealth() },
  });
}

/** Claims the account whether it is due or not; the lease has ended when the next one comes. */
async function claimAccount(db: Database): Promise<ClaimedAccount | undefined> {
  return db.transaction().execute(async (trx) => {
    for (const queue of ['known', 'never_polled'] as const) {
      const { accounts } = await claimDue(trx, {
        appId,
        queue,
        places: 1,
        virtualClock: 0,
        ceiling: 1e300,
        leaseSeconds: 0,
      });
      if (accounts[0] !== undefined) return accounts[0];
    }
    return undefined;
  });
}

/** Stores what came of a poll as the daemon's recorder does: again while Postgres is away. */
async function record(db: Database, { record: state, note }: PollResult): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await recordPolls(db, appId, state === undefined ? [] : [state]);
      await noteOutcomes(db, note === undefined ? [] : [note]);
      return;
    } catch (error) {
      if (!isTransient(error) || attempt === 3) throw error;
    }
  }
}

async function pollClaimed(run: Run, worker: Worker, db: Database, step: (what: string) => Promise<void>) {
  if (worker.claim === undefined) return;
  worker.result = await pollAccount(depsOf(run, worker, db, step), worker.claim, createStop());
  await record(db, worker.result);
}

/** A worker that claims the account and polls it. Where another session has the row locked, it looks again. */
function sync(run: Run, number: number): Actor {
  const worker: Worker = {};
  run.workers[number] = worker;
  return {
    name: `sync ${number}`,
    async act(db, step) {
      for (let attempt = 0; attempt < 3 && worker.claim === undefined; attempt += 1) {
        const claim = await claimAccount(db).catch(passing);
        if (claim !== undefined) worker.claim = claim;
      }
      await pollClaimed(run, worker, db, step).catch(passing);
    },
  };
}

/** A worker that gets a job that another one has, or had. */
function syncAgain(run: Run, number: number): Actor {
  const worker: Worker = {};
  run.workers[number] = worker;
  return {
    name: 'redelivered sync 0',
    async act(db, step) {
      for (let attempt = 0; attempt < 6 && worker.claim === undefined; attempt += 1) {
        await step('looks for a job');
        if (run.workers[0] !== undefined) Object.assign(worker, run.workers[0]);
      }
      await pollClaimed(run, worker, db, step).catch(passing);
    },
  };
}

/** A connection that breaks ends what was under way; anything else is a fault of ours. */
function passing(error: unknown): undefined {
  if (!isTransient(error)) throw error;
}

function owner(run: Run): Actor {
  return {
    name: 'owner',
    async act(_, step) {
      for (const what of run.scenario.ownerActions) {
        await step(`does ${JSON.stringify(what)}`);
        change(run.truth, what);
      }
    },
  };
}

async function setHold(db: Database, held: boolean): Promise<void> {
  await sql`update mirror.app set removals_held_at = case when ${held} then now() end`.execute(db);
}

function disturb(run: Run, what: Disturbance): Actor {
  const acts: Record<Disturbance, (db: Database) => Promise<unknown>> = {
    request: (db) => requestPoll(db, appId, [id]),
    remove: (db) => removeAccounts(db, appId, [id], false),
    purge: (db) => removeAccounts(db, appId, [id], true),
    'come back': async (db) => {
      await removeAccounts(db, appId, [id], false);
      await enrolAccounts(db, appId, [id]);
    },
    'read again': (db) => requestFullRead(db, run.last.key),
    hold: (db) => setHold(db, true),
    release: (db) => db.transaction().execute((trx) => releaseRemovals(trx, appId, 600)),
    discard: (db) => db.transaction().execute((trx) => discardRemovals(trx, appId)),
  };
  return { name: what, act: (db) => acts[what](db).then(() => undefined, passing) };
}

/** What must hold after every step that others can see. */
function inspect(run: Run, actors: readonly Actor[], step: VisibleStep, now: Held): void {
  const before = run.last;
  const { state, groups } = now;
  const worker = run.workers[step.actor];
  const claim = worker?.claim;

  if (worker !== undefined && claim !== undefined) worker.enrolledAt ??= now.enrolledAt;
  if (worker !== undefined && claim !== undefined && !step.others) {
    const fenced =
      before.enrolledAt !== worker.enrolledAt || Number(before.state?.['claim_no']) > claim.claimNo;
    const spent = before.state?.['claim_no'] === claim.claimNo && before.state['leased_until'] === null;
    if (fenced) expect(now, 'a fenced-off worker has changed something').toEqual(before);
    else if (spent)
      expect({ ...now, outcomes: [] }, 'a claim had two outcomes').toEqual({ ...before, outcomes: [] });
  }
  if (state !== null) {
    expect(state['group_count'], 'group_count').toBe(groups.length);
    if (state['content_hash'] !== null)
      expect(state['content_hash'], 'content_hash').toBe(`\\x${contentHash(groups)}`);
  }
  if (report(groups) !== report(before.groups)) {
    const name = actors[step.actor]?.name ?? '';
    if (worker === undefined) {
      expect(['remove', 'purge', 'come back'], 'who may change groups').toContain(name);
      expect(report(groups)).toBe('');
    } else if (state !== null && (state['pending_hash'] !== null || now.removal !== null)) {
      expect(report(groups), 'what came, while what goes waits').toBe(
        report(unite(before.groups, worker.truth ?? [])),
      );
    } else expect(report(groups), 'what is written').toBe(report(worker.truth ?? []));
  }
  if (state !== null && worker !== undefined && state['verified_at'] !== before.state?.['verified_at'])
    expect(report(groups), 'the newest applied read').toBe(report(worker.truth ?? []));
}

/** What an answer adds to what is there; a group's count grows by those who come. */
function unite(before: readonly FriendGroup[], answer: readonly FriendGroup[]): readonly FriendGroup[] {
  const reported = new Map(answer.map((each) => [each.name, each]));
  const held = new Set(before.map((each) => each.name));
  return [
    ...before.map((each) => {
      const members = [...new Set([...each.members, ...(reported.get(each.name)?.members ?? [])])];
      return { ...each, members, friendNumber: each.friendNumber + members.length - each.members.length };
    }),
    ...answer.filter((each) => !held.has(each.name)),
  ];
}

/** A request stays until a claim grants it, and so does the order to read everything. */
function followWishes(run: Run, actors: readonly Actor[], step: VisibleStep, now: Held): void {
  const name = actors[step.actor]?.name;
  if (now.state === null || now.state['claim_no'] !== run.last.state?.['claim_no']) {
    run.requested = false;
    run.doubted = false;
  }
  if (name === 'request' && now.state !== null) run.requested = true;
  if (name === 'read again' && now.state !== null) run.doubted = true;
  if (run.requested) expect(now.state?.['due_v'], 'a request was lost').toBe('-Infinity');
  if (run.doubted) expect(now.state?.['full_read_at'], 'a full read was lost').toBeNull();
}

async function cleanSlate(): Promise<void> {
  await sql`delete from mirror.change`.execute(world.db);
  await sql`delete from mirror.account`.execute(world.db);
  await sql`delete from mirror.activity`.execute(world.db);
  await sql`delete from mirror.app`.execute(world.db);
  await ensureApp(world.db, testApp);
  await enrolAccounts(world.db, appId, [id]);
}

/** Polls without concurrent work; removals are confirmed by the second poll. */
async function pollAlone(run: Run): Promise<void> {
  await sql`update mirror.poll_state set leased_until = null`.execute(world.db);
  const worker: Worker = {};
  const claim = await claimAccount(world.db);
  if (claim === undefined) return;
  worker.claim = claim;
  await pollClaimed(run, worker, world.db, async () => undefined);
}

async function perform(given: Scenario): Promise<void> {
  const run = new Run(given);
  await cleanSlate();
  run.truth.addAccount(id);
  for (const what of given.before) change(run.truth, what);
  for (let times = given.read ? 2 : 0; times > 0; times -= 1) await pollAlone(run);
  if (given.held) await setHold(world.db, true);
  run.last = await look();

  const actors = [
    ...Array.from({ length: given.syncs }, (_, number) => sync(run, number)),
    ...(given.redelivered ? [syncAgain(run, given.syncs)] : []),
    owner(run),
    ...given.disturbance.map((what) => disturb(run, what)),
  ];
  try {
    await harness.run(
      actors,
      given.schedule,
      async (step) => {
        const now = await look();
        inspect(run, actors, step, now);
        followWishes(run, actors, step, now);
        run.last = now;
      },
      run.trace,
    );
    await expectTruthInTheEnd(run);
    await expectConsistentHistory();
  } catch (error) {
    throw new Error(`${String(error)}\n${run.trace.join('\n')}`, { cause: error });
  }
}

/** Polled without concurrent work, an account that is enrolled becomes what the vendor holds; of another nothing is left. */
async function expectTruthInTheEnd(run: Run): Promise<void> {
  await setHold(world.db, false);
  // A removal is confirmed by the second poll, and one that was pending may be contradicted by the first.
  for (let times = 0; times < 3; times += 1) await pollAlone(run);
  const end = await look();
  if (end.state === null) expect(end).toMatchObject({ groups: [], outcomes: [], removal: null });
  else expect(report(end.groups), 'the truth in the end').toBe(report(truthOf(run.truth)));
}

/** The feed, the history and the current tables agree. */
async function expectConsistentHistory(): Promise<void> {
  const rows = await currentRows(world.db);
  expect(new Set(rows).size, 'duplicates').toBe(rows.length);
  expect(await replayFeed(world.db), 'the feed').toEqual(rows);
  expect(await rowsAt(world.db, 'infinity'), 'the history').toEqual(rows);
}

/** Runs scenarios; the search for the smallest one that fails ends in time for it to be printed. */
async function assertScenarios(
  meanwhile: fc.Arbitrary<readonly Disturbance[]>,
  usual: number,
): Promise<void> {
  // Not by interruptAfterTimeLimit, which leaves a play under way, whose actors nothing releases any more.
  const ends = performance.now() + usual * runs(1000);
  const property = fc.asyncProperty(scenario(meanwhile), async (given) => {
    if (performance.now() < ends) await perform(given);
  });
  await fc.assert(property, { seed: world.seed, numRuns: runs(usual) });
}

describe('syncs of one account', () => {
  test(
    'in any order of their statements, with crashes at any and late answers, end in the truth of the newest applied read',
    async () => {
      await assertScenarios(fc.constant([]), 50);
    },
    runs(120_000),
  );

  test(
    'do so whatever is done to the account meanwhile',
    async () => {
      const meanwhile = fc.array(fc.constantFrom(...disturbances), { minLength: 1, maxLength: 2 });
      await assertScenarios(meanwhile, 50);
    },
    runs(120_000),
  );
});

describe('an answer that comes late', () => {
  beforeEach(async () => {
    await cleanSlate();
    for (const name of ['ann', 'bob']) {
      await world.addAccounts(name);
      world.vendor.truth.change(name, { kind: 'add_group', group: '家人', members: ['x'] });
      await world.poll(name);
    }
  });

  /** Polls, and lets something happen between the vendor's answer and its arrival. */
  async function pollWhile(name: string, happens: () => Promise<unknown>): Promise<PollResult> {
    const groupGet: TencentClient['groupGet'] = async (...call) => {
      const answer = await world.client.groupGet(...call);
      await happens();
      return answer;
    };
    return world.poll(name, { client: { ...world.client, groupGet } });
  }

  test('changes nothing in an account that was taken out and came back, though it has been claimed as often', async () => {
    await pollWhile('ann', async () => {
      await removeAccounts(world.db, appId, ['ann'], false);
      await enrolAccounts(world.db, appId, ['ann']);
      for (let times = 0; times < 2; times += 1) await world.claim('ann');
    });
    const { rows } = await sql`select status, verified_at from tim.accounts where account_id = 'ann'`.execute(
      world.db,
    );
    expect(rows).toEqual([{ status: 'never_polled', verified_at: null }]);
  });

  test('does not undo the order to read an account again', async () => {
    const key = await keyOf('ann');
    await pollWhile('ann', () => requestFullRead(world.db, key));
    const { rows } = await sql<{ full: boolean }>`
      select full_read_at is null as full from mirror.poll_state where account_key = ${key}
    `.execute(world.db);
    expect(rows).toEqual([{ full: true }]);
  });

  test('of removals that are held leaves no note behind when the account is taken out', async () => {
    world.vendor.truth.change('ann', { kind: 'clear' });
    await setHold(world.db, true);
    expect((await world.poll('ann')).outcome).toBe('removal_held');
    await setHold(world.db, false);
    await removeAccounts(world.db, appId, ['ann'], false);
    expect(await world.db.selectFrom('mirror.held_removal').selectAll().execute()).toEqual([]);
  });

  test('leaves the change feed in order when accounts are taken out while one is written', async () => {
    world.vendor.truth.change('bob', { kind: 'add_members', group: '家人', members: ['y'] });
    const [ann, bob] = [await world.claim('ann'), await world.claim('bob')];
    const [locked, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const writer = world.db.transaction().execute(async (trx) => {
      await lockAccount(trx, appId, ann);
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const removal = removeAccounts(world.db, appId, ['ann', 'bob'], false);
    await waitFor('the removal to wait for the writer', async () => (await waiters()) === 1);
    let written = false;
    const late = pollAccount(world.deps, bob, world.stop).finally(() => (written = true));
    await waitFor('the answer to be written, or to wait', async () => written || (await waiters()) === 2);
    release.resolve();
    await Promise.all([writer, removal, late]);
    expect(await currentRows(world.db)).toEqual([]);
    await expectConsistentHistory();
  });
});

async function waiters(): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(distinct pid) from pg_locks join pg_stat_activity using (pid)
    where not granted and datname = current_database()
  `.execute(world.db);
  return rows[0]?.count ?? 0;
}

async function keyOf(name: string): Promise<number> {
  const { rows } = await sql<{ key: number }>`
    select account_key as key from mirror.account where account_id = ${name}
  `.execute(world.db);
  return rows[0]?.key ?? 0;
}
