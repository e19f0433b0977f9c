import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endCommands, startCommand, untilRunning } from '../support/daemon-command.ts';
import { expectFeedIsMirror, expectMirrorIsTruth, populateWorld } from '../support/mirroring.ts';
import { createTestRedis, type TestRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';
import { createWorld } from '../support/world.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await createTestRedis();
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
});

test('a daemon that was killed is replaced by the next, and the mirror comes to be the truth', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  const ids = await populateWorld(world);
  const first = startCommand(world, redis.url);
  await waitFor('calls', () => world.vendor.stats().calls > ids.length / 2);
  first.child.kill('SIGKILL');
  await first.ended;
  const second = startCommand(world, redis.url);
  await untilRunning(second);
  await expectMirrorIsTruth(world);
  expect(await endCommands(second)).toEqual([0]);
  await expectFeedIsMirror(world);
});

test('a daemon that was killed leaves accounts that another polls within 30 s, those whose calls hung too', async () => {
  await using world = await createWorld({ callsPerSecond: 200 });
  await populateWorld(world);
  world.vendor.setFaults([{ kind: 'hang', probability: 0.2 }]);
  const first = startCommand(world, redis.url);
  await untilRunning(first);
  await waitFor('calls that hang', () => (world.vendor.stats().answers['hang'] ?? 0) > 5);
  const second = startCommand(world, redis.url);
  await untilRunning(second);
  const { rows: leased } = await sql<{ key: number; claim: number }>`
    select account_key as key, claim_no as claim from mirror.poll_state where leased_until is not null
  `.execute(world.db);
  first.child.kill('SIGKILL');
  world.vendor.setFaults([]);
  const leftOver = async () => {
    const { rows } = await sql<{ left: number }>`
      select count(*) as left
      from mirror.poll_state state
      join unnest(${leased.map((row) => row.key)}::bigint[], ${leased.map((row) => row.claim)}::integer[])
        as claimed (account_key, claim_no) using (account_key)
      where state.claim_no = claimed.claim_no and leased_until is not null
    `.execute(world.db);
    return rows[0]?.left ?? 0;
  };
  expect(await leftOver()).toBeGreaterThan(5);
  await waitFor('nothing to be left of its claims', async () => (await leftOver()) === 0, 30_000);
  expect(await endCommands(second)).toEqual([0]);
});
