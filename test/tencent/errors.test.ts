import { describe, expect, test } from 'vitest';
import {
  type errorCodes,
  kindOfCode,
  kindOfStatus,
  remedyFor,
  type TencentErrorKind,
} from '../../src/tencent/errors.ts';

/** The table of the vendor's codes, written out once more from the documentation. */
const table: Record<keyof typeof errorCodes, number[]> = {
  rate_limited: [60007, 60011, 60018, 60019, 60022],
  transient: [30006, 30007, 30008, 40006, 60008, 60013, 60014, 70169, 70202, 70500],
  signature_expired: [70001],
  credentials: [
    30004, 60004, 60005, 60010, 70002, 70003, 70005, 70009, 70013, 70014, 70050, 70051, 70052, 70114, 70403,
  ],
  configuration: [30002, 60006, 60009, 60012, 60016, 60017, 60020, 60021, 70016, 70020, 70398, 70399, 71000],
  account_not_found: [30003, 31804, 40003, 70107],
  bad_request: [
    30001, 30005, 30009, 30010, 30011, 30012, 30013, 30014, 31704, 32216, 60002, 60003, 60015, 70206, 70402,
  ],
};

describe('error codes', () => {
  test.each(Object.entries(table))('%s are what the table says', (kind, codes) => {
    expect(codes.map(kindOfCode)).toEqual(codes.map(() => kind));
  });

  test('no code is in two classes', () => {
    const all = Object.values(table).flat();
    expect(new Set(all).size).toBe(all.length);
  });

  test.each([30010, 40006])('%i is not a rate limit', (code) => {
    expect(kindOfCode(code)).not.toBe('rate_limited');
  });

  test.each([1, 29_999, 30_015, 65_000, 99_999])('%i is unknown', (code) => {
    expect(kindOfCode(code)).toBe<TencentErrorKind>('unknown');
  });

  test.each([408, 429, 500, 502, 503, 504])('HTTP status %i passes by itself', (status) => {
    expect(kindOfStatus(status)).toBe('transient');
  });

  test('every refusal of an app comes with what to do', () => {
    for (const kind of ['credentials', 'configuration'] as const) {
      for (const code of table[kind]) expect(remedyFor(kind, code)).toMatch(/TIM_|clock/);
    }
  });
});
