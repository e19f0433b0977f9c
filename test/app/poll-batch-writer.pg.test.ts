import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import type { Refusal } from '../../db/storage-errors.ts';
import { createPollBatchWriter } from '../../src/app/poll-batch-writer.ts';
import { silentLogger } from '../../src/log.ts';
import { releaseLease } from '../../src/sync/next-state.ts';
import { createWorld, testApp } from '../support/world.ts';

interface Lost {
  readonly refusal: Refusal;
  readonly results: number;
}

test('results that are given up are counted, and so is one that can’t be stored, which costs the others nothing', async () => {
  await using world = await createWorld();
  await world.addAccounts('anna', 'ben');
  const [anna, ben] = [await world.claim('anna'), await world.claim('ben')];
  const lost: Lost[] = [];
  const onLost = (refusal: Refusal, results: number) => void lost.push({ refusal, results });

  const away = connect({
    url: 'postgres://postgres@127.0.0.1:1/none',
    applicationName: 'away',
    onIdleError: () => undefined,
  });
  const options = { appId: testApp.appId, log: silentLogger(), onLost };
  const impatient = createPollBatchWriter({ ...options, db: away, timeoutMs: 600 });
  await Promise.all([anna, ben].map((account) => impatient.write({ record: releaseLease(account) })));
  await away.destroy();
  expect(lost).toEqual([{ refusal: expect.objectContaining({ class: 'network' }), results: 2 }]);

  await sql
    .raw(
      `alter table mirror.poll_state add constraint refused check (account_key <> ${ben.accountKey} or leased_until is not null) not valid`,
    )
    .execute(world.db);
  let stored = 0;
  const recorder = createPollBatchWriter({ ...options, db: world.db, onStored: () => (stored += 1) });
  await Promise.all([anna, ben].map((account) => recorder.write({ record: releaseLease(account) })));
  expect(lost.slice(1)).toEqual([{ refusal: expect.objectContaining({ class: '23' }), results: 1 }]);
  expect(stored).toBe(1);
  const { rows } = await sql`
    select account_id from mirror.account join mirror.poll_state using (account_key) where leased_until is null
  `.execute(world.db);
  expect(rows).toEqual([{ account_id: 'anna' }]);
});
