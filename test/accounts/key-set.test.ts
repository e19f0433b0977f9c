import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createKeySet } from '../../src/accounts/key-set.ts';
import { vanishedLimits } from '../../src/accounts/vanished-limit.ts';

test('a set of keys holds what was put in and nothing else, however far apart the keys lie', () => {
  const key = fc.oneof(fc.nat(10_000), fc.maxSafeNat());
  fc.assert(
    fc.property(fc.array(key), fc.array(key), (added, others) => {
      const set = createKeySet();
      for (const each of added) set.add(each);
      const truth = new Set(added);
      expect(set.size).toBe(truth.size);
      for (const each of [...added, ...others]) expect(set.has(each)).toBe(truth.has(each));
    }),
  );
});

test.each([
  // known, allowed: vanished, removed
  [0, undefined, 0, 0],
  [1, undefined, 0.5, 0.5],
  [12, undefined, 6, 6],
  [50, undefined, 25, 10],
  [1000, undefined, 500, 100],
  [1000, 30, 500, 30],
  [1000, 900, 900, 900],
  [1000, 0, 500, 0],
])('of %s accounts, %s allowed, %s may vanish and %s are removed', (known, bypassed, believed, removed) => {
  expect(vanishedLimits(known, bypassed)).toEqual({ believed, removed });
});
