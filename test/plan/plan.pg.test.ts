import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { ensureApp } from '../../db/queries/apps.ts';
import { readRateHistogram } from '../../db/queries/rate-histogram.ts';
import { daemonEnvironment } from '../support/daemon.ts';
import { runWarm } from '../support/warm-command.ts';
import { createWorld, type World } from '../support/world.ts';

let world: World;
let env: Record<string, string>;

beforeAll(async () => {
  world = await createWorld();
  env = daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const plan = (...args: string[]) => runWarm(['plan', ...args], env);

test('the plan of a live mirror rests on what it has seen, and says so when that is nothing', async () => {
  const appId = Number(env['TIM_SDK_APP_ID']);
  await ensureApp(world.db, { appId, callsPerSecond: 190 });
  const ids = Array.from({ length: 100 }, (_, index) => `user${String(index).padStart(3, '0')}`);
  await enrolAccounts(world.db, appId, ids);

  const early = await plan('--from-database');
  expect(early.stderr).toMatch(/No account has been read yet/);
  expect(early.code).toBe(1);

  // Ten were never polled; of ninety, thirty have changed.
  await sql`
    update mirror.poll_state set
      status = 'active',
      first_polled_at = now() - interval '10 days',
      verified_at = now(),
      changed_at = case when account_id < 'user030' then now() - interval '1 hour' end,
      change_mass = case when account_id < 'user030' then 10 else 0 end
    from mirror.account
    where account.account_key = poll_state.account_key and account_id < 'user090'
  `.execute(world.db);
  const histogram = await readRateHistogram(world.db, appId);
  expect(histogram.neverPolled).toBe(10);
  expect(histogram.seen.toSorted((a, b) => a.accounts - b.accounts)).toEqual([
    {
      accounts: 30,
      decayedChanges: 10,
      watchedDays: expect.closeTo(10),
      silentDays: expect.closeTo(1 / 24),
    },
    { accounts: 60, decayedChanges: 0, watchedDays: expect.closeTo(10), silentDays: expect.closeTo(10) },
  ]);

  const { code, stdout } = await plan('--from-database', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    basis: { appId, accounts: 100, neverPolled: 10 },
    callsPerSecond: expect.any(Number),
    meanSeconds: expect.any(Number),
  });
});

test('called wrongly, it says so in a sentence', async () => {
  for (const [args, sentence] of [
    [[], /Say how many accounts there are/],
    [['--accounts', '0'], /whole number from 1/],
    [['--accounts', '5', '--rate', '200'], /from 1 to 199/],
    [['--accounts', '5', '--from-database'], /cannot be used with/],
  ] as const) {
    const { code, stderr, stdout } = await plan(...args);
    expect(stderr).toMatch(sentence);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  }
});
