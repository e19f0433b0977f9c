import { expect, test } from 'vitest';
import { slowedRate } from '../../src/hints/slow-down.ts';

const groupGet = 'sns/group_get';

test.each([
  // 40 calls a second are others': 190 - 40.
  [{ command: groupGet, calls: 230, limit: 200 }, 190, 150],
  // All that is counted is our own, and within the limit.
  [{ command: groupGet, calls: 165, limit: 200 }, 190, undefined],
  [{ command: groupGet, calls: 190, limit: 200 }, 190, undefined],
  // More than we are ever to send, though we are set low: others use the rest.
  [{ command: groupGet, calls: 180, limit: 200 }, 50, undefined],
  [{ command: groupGet, calls: 210, limit: 200 }, 50, 30],
  // A limit lower than the one that we know.
  [{ command: groupGet, calls: 100, limit: 100 }, 190, 95],
  // However much others send, half is ours; and one call always.
  [{ command: groupGet, calls: 900, limit: 200 }, 190, 95],
  [{ command: groupGet, calls: 900, limit: 200 }, 1, 1],
  // Figures are missing.
  [{ command: undefined, calls: undefined, limit: undefined }, 190, 95],
  [{ command: groupGet, calls: undefined, limit: 200 }, 190, 95],
  // Another call.
  [{ command: 'openim/batchsendmsg', calls: 510, limit: 200 }, 190, undefined],
])('an alert of %j makes an app of %i/s keep to %s', (alert, callsPerSecond, expected) => {
  expect(slowedRate(alert, callsPerSecond)).toBe(expected);
});
