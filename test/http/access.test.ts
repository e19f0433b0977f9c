import { describe, expect, test } from 'vitest';
import { accessFor, bearerToken, isSame } from '../../src/http/access.ts';
import {
  createSession,
  readSession,
  sessionHeader,
  sessionOf,
  sessionSeconds,
} from '../../src/http/session.ts';
import { createWrongTokens } from '../../src/http/wrong-tokens.ts';

const token = 'a-token-of-the-tests';

describe('more than the probes is shown', () => {
  test.each([
    ['127.0.0.1', undefined, 'open'],
    ['127.1.2.3', undefined, 'open'],
    ['localhost', undefined, 'open'],
    ['::1', undefined, 'open'],
    ['0.0.0.0', undefined, 'hidden'],
    ['::', undefined, 'hidden'],
    ['10.0.0.7', undefined, 'hidden'],
    ['127.0.0.1.example.com', undefined, 'hidden'],
    ['0.0.0.0', token, 'token'],
    ['127.0.0.1', token, 'token'],
  ])('on %s with token %s: %s', (host, adminToken, kind) => {
    expect(accessFor(host, adminToken).kind).toBe(kind);
  });
});

test('a token is the same only when every letter is', () => {
  expect(isSame(token, token)).toBe(true);
  for (const other of ['', token.slice(1), `${token} `, token.toUpperCase()])
    expect(isSame(other, token)).toBe(false);
});

test.each([
  ['Bearer abc', 'abc'],
  ['bearer  abc ', 'abc'],
  ['Basic abc', undefined],
  ['Bearer', undefined],
  [undefined, undefined],
])('the token of header %s is %s', (header, expected) => {
  expect(bearerToken(header)).toBe(expected);
});

describe('a session', () => {
  const now = Date.UTC(2026, 10, 1);
  const session = createSession(token, now);

  test('is good until its end, for the token it was made with, and holds no token', () => {
    expect(readSession(session, token, now)).toMatchObject({ endsMs: now + sessionSeconds * 1000 });
    expect(readSession(session, token, now + sessionSeconds * 1000 - 1)).toBeDefined();
    expect(readSession(session, token, now + sessionSeconds * 1000 + 1000)).toBeUndefined();
    expect(readSession(session, `${token}2`, now)).toBeUndefined();
    expect(session).not.toContain(token);
  });

  test('that was tampered with is none', () => {
    const [ends = '', id = '', signature = ''] = session.split('.');
    for (const other of [
      undefined,
      '',
      signature,
      `${ends}.${signature}`,
      `${Number(ends) + 1}.${id}.${signature}`,
      `${ends}.${id.slice(1)}A.${signature}`,
      `${ends}.${id}.${signature.slice(1)}`,
      `${ends}.${id}.${signature}x`,
    ]) {
      expect(readSession(other, token, now)).toBeUndefined();
    }
  });

  test('comes back in a cookie that no script reads and no other site sends', () => {
    const header = sessionHeader(session, true);
    expect(header).toMatch(/; HttpOnly; SameSite=Strict; Secure$/);
    expect(sessionOf(`other=1; ${header.split(';')[0]}; more=2`)).toBe(session);
    expect(sessionOf(undefined)).toBeUndefined();
    expect(sessionHeader(undefined, false)).toContain('Max-Age=0');
  });
});

test('after ten wrong tokens from one address each further one waits, for a minute; others do not', async () => {
  let now = 0;
  let waits = 0;
  const wrong = createWrongTokens({
    now: () => now,
    wait: async () => {
      waits += 1;
    },
  });
  for (let times = 0; times < 10; times += 1) expect(await wrong.slowDown('10.0.0.1')).toBe(false);
  expect(await wrong.slowDown('10.0.0.1')).toBe(true);
  expect(waits).toBe(1);
  expect(await wrong.slowDown('10.0.0.2')).toBe(false);
  now = 60_001;
  expect(await wrong.slowDown('10.0.0.1')).toBe(false);
});

test('at most fifty wait at once, so that a flood of wrong tokens leaves connections to the probes', async () => {
  const gate = Promise.withResolvers<void>();
  const wrong = createWrongTokens({ now: () => 0, wait: () => gate.promise });
  for (let times = 0; times < 10; times += 1) await wrong.slowDown('10.0.0.1');
  const held = Array.from({ length: 50 }, () => wrong.slowDown('10.0.0.1'));
  expect(await wrong.slowDown('10.0.0.1')).toBe(true);
  gate.resolve();
  expect(await Promise.all(held)).not.toContain(false);
});
