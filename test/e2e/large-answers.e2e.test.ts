import { expect, test } from 'vitest';
import { runLarge } from '../../bench/large/run-large.ts';

test('fifty accounts as large as may be hold up neither small ones nor the health check, and memory suffices', async () => {
  const result = await runLarge(
    { largeAccounts: 50, smallAccounts: 300, seconds: 150, untilWritten: 3 },
    () => undefined,
  );
  expect(result.writtenLarge).toBeGreaterThanOrEqual(3);
  expect(result.writtenSmall).toBe(300);
  // On a busy machine the write of a large account may take longer than a statement may.
  expect(result.refused).toBe(result.timedOut);
  // What the manifest allows; each account waits for memory after its first call, and is not called in vain again.
  expect(result.peakMb).toBeLessThan(768);
  expect(result.largeCalls).toBeLessThanOrEqual(2 * 50);
  // A second on a quiet machine, which the bench watches. The probe of the manifest waits five.
  expect(result.livezMs).toBeLessThan(3000);
}, 240_000);
