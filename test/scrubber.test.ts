import { describe, expect, test } from 'vitest';
import { createLogger } from '../src/log.ts';
import { createScrubber } from '../src/scrubber.ts';
import { signUser } from '../src/tencent/user-sig.ts';
import { collectLog } from './support/collect-log.ts';

describe('the scrubber', () => {
  test('takes out secrets as they are, in URLs and in JSON', () => {
    const scrubber = createScrubber(['pa"ss/wörd']);
    for (const text of ['pa"ss/wörd', encodeURIComponent('pa"ss/wörd'), JSON.stringify('pa"ss/wörd')]) {
      expect(scrubber.scrub(`before ${text} after`)).toMatch(/^before .*\[removed\].* after$/);
    }
  });

  test('removes signatures that it does not know', () => {
    const sig = signUser({ appId: 1, admin: 'administrator', secretKey: 'unknown to the scrubber' });
    const scrubber = createScrubber();
    expect(scrubber.scrub(`POST /v4?a=1&usersig=${sig}&random=5`)).toBe(
      'POST /v4?a=1&usersig=[removed]&random=5',
    );
    expect(scrubber.scrub(`sig ${sig} refused`)).toBe('sig [removed] refused');
  });

  test('leaves ordinary text alone, and does not take the empty text for a secret', () => {
    expect(createScrubber(['', 'abc']).scrub('abc: 家人 synced')).toBe('abc: 家人 synced');
  });
});

describe('a secret that is a plain word, a number or short', () => {
  test.each(['postgres', 'accounts', 'pool_connections', '123456', 'abcd'])(
    '%s is removed where it is given as a password, and nowhere else',
    (secret) => {
      const { scrub } = createScrubber([secret]);
      expect(scrub(`postgres://tim:${secret}@host/tim`)).not.toContain(`:${secret}@`);
      for (const given of [
        `password=${secret}`,
        `"password":"${secret}"`,
        `secret: '${secret}'`,
        `token ${secret}`,
      ])
        expect(scrub(`${given}, refused`)).toBe(`${given.replace(secret, '[removed]')}, refused`);
      const ordinary = `tim_mirror_${secret}_pool ${secret} calls of the app, ${secret}s and a ${secret}`;
      expect(scrub(ordinary)).toBe(ordinary);
    },
  );

  test('does not stop a rare one from being removed everywhere', () => {
    const { scrub } = createScrubber(['postgres', 'hunter22']);
    expect(scrub('postgres said hunter22')).toBe('postgres said [removed]');
  });
});

test('of JSON only values that are texts are scrubbed: keys, numbers and structure stay', () => {
  const { scrubJson } = createScrubber(['123456789012', 'secret-key', '"},"a":{"b']);
  const json = JSON.stringify({
    'secret-key': 123_456_789_012,
    deep: [{ reported: 'the secret-key 123456789012', ['said "secret-key" :']: null }],
  });
  expect(JSON.parse(scrubJson(json))).toEqual({
    'secret-key': 123_456_789_012,
    deep: [{ reported: 'the [removed] [removed]', ['said "secret-key" :']: null }],
  });
});

test('signatures that follow one another without end take no memory, and the last of them are removed', () => {
  const scrubber = createScrubber(['known-for-good']);
  for (let index = 0; index < 10_000; index += 1) scrubber.addPassing(`passing-signature-${index}`);
  expect(scrubber.scrub('known-for-good passing-signature-9999 passing-signature-1')).toBe(
    '[removed] [removed] passing-signature-1',
  );
});

describe('the log', () => {
  function logging(secrets: string[], act: (log: ReturnType<typeof createLogger>) => void): string {
    const { destination, text } = collectLog();
    act(createLogger({ level: 'trace', scrubber: createScrubber(secrets), destination }));
    return text();
  }

  test('holds no secret, not even one in the cause of an error', () => {
    const text = logging(['hunter22'], (log) => {
      const cause = new Error('connect to postgres://u:hunter22@h failed');
      log.error({ err: new Error('hunter22 outside', { cause }) }, 'failed');
      log.debug({ deep: { key: 'hunter22' } }, 'hunter22');
    });
    expect(text).toContain('[removed]');
    expect(text).not.toContain('hunter22');
  });

  test('keeps its names, whatever a password is called', () => {
    const text = logging(['warn', 'level', 'time', 'event'], (log) =>
      log.warn({ event: 1 }, 'a time of level warn'),
    );
    expect(JSON.parse(text)).toMatchObject({ level: 'warn', event: 1, msg: 'a time of level warn' });
  });

  test('leaves out what of a Postgres error holds values of rows', () => {
    const error = Object.assign(new Error('duplicate key'), {
      code: '23505',
      detail: 'Key (id)=(alice)',
      where: 'x',
    });
    const line = JSON.parse(logging([], (log) => log.warn({ err: error }, 'not written')));
    expect(line.err).toMatchObject({ message: 'duplicate key', code: '23505' });
    expect(JSON.stringify(line)).not.toContain('alice');
  });
});
