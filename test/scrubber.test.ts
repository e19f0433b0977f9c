import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createLogger } from '../src/log.ts';
import { createScrubber } from '../src/scrubber.ts';
import { signUser } from '../src/tencent/user-sig.ts';

describe('the scrubber', () => {
  test('takes out secrets as they are, in URLs and in JSON', () => {
    const scrubber = createScrubber(['pa"ss/wörd']);
    for (const text of ['pa"ss/wörd', encodeURIComponent('pa"ss/wörd'), JSON.stringify('pa"ss/wörd')]) {
      expect(scrubber.scrub(`before ${text} after`)).toMatch(/^before .*\[removed\].* after$/);
    }
  });

  test('takes out signatures it was never told of', () => {
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

describe('the log', () => {
  function logging(secrets: string[], act: (log: ReturnType<typeof createLogger>) => void): string {
    let text = '';
    const destination = new Writable({
      write(chunk, _encoding, done) {
        text += chunk;
        done();
      },
    });
    act(createLogger({ level: 'trace', scrubber: createScrubber(secrets), destination }));
    return text;
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
