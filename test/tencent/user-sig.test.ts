import { afterEach, describe, expect, test, vi } from 'vitest';
import { createScrubber } from '../../src/scrubber.ts';
import { checkUserSig, decodeUserSig } from '../../src/simulator/user-sig-check.ts';
import { createUserSigSource, signUser } from '../../src/tencent/user-sig.ts';

const app = {
  appId: 1_400_000_000,
  admin: 'administrator',
  secretKey: '5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e',
};

afterEach(() => {
  vi.useRealTimers();
});

describe('UserSig', () => {
  test('the vendor’s sample gives the known signature', () => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
    expect(decodeUserSig(signUser(app))).toEqual({
      'TLS.ver': '2.0',
      'TLS.identifier': 'administrator',
      'TLS.sdkappid': 1_400_000_000,
      'TLS.time': 1_700_000_000,
      'TLS.expire': 86_400,
      'TLS.sig': 'yLAe+w7WUeUuqbV9h/TX78u21oTGi+i9Zp1u3PpnY60=',
    });
  });

  test('a check written from the format alone accepts it, and refuses it under another key, name, app or day', () => {
    const now = Math.floor(Date.now() / 1000);
    const sig = signUser(app);
    const expected = { appId: app.appId, identifier: app.admin, secretKey: app.secretKey, now };
    expect(checkUserSig(sig, expected)).toBeUndefined();
    expect(checkUserSig(sig, { ...expected, secretKey: 'other' })).toBe(70003);
    expect(checkUserSig(sig, { ...expected, identifier: 'another' })).toBe(70013);
    expect(checkUserSig(sig, { ...expected, appId: 1 })).toBe(70014);
    expect(checkUserSig(sig, { ...expected, now: now + 86_402 })).toBe(70001);
    expect(checkUserSig('eJw-nonsense', expected)).toBe(70003);
  });

  test('one signature is used until an hour before it expires, and a renewed one is new', () => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
    let now = 0;
    const source = createUserSigSource({
      ...app,
      secretKey: () => app.secretKey,
      scrubber: createScrubber(),
      now: () => now,
    });
    const first = source.current();
    vi.setSystemTime(1_700_000_000_000 + 22 * 3_600_000);
    now = 22 * 3_600_000;
    expect(source.current()).toBe(first);
    now = 23 * 3_600_000;
    const second = source.current();
    expect(second).not.toBe(first);
    vi.setSystemTime(1_700_000_000_000 + 23 * 3_600_000);
    source.renew();
    expect(source.current()).not.toBe(second);
  });

  test('every signature made is known to the scrubber', () => {
    const scrubber = createScrubber();
    const sig = createUserSigSource({ ...app, secretKey: () => app.secretKey, scrubber }).current();
    expect(scrubber.scrub(`said ${sig}.`)).toBe('said [removed].');
  });
});
