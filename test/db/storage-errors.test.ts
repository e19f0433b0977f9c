import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { isTransient, refusalOf, transientStates } from '../../db/storage-errors.ts';
import { readDocument } from '../support/documents.ts';

/** An error of Postgres as pg throws it. */
function refusedWith(code: string, message = 'words'): Error {
  return Object.assign(new pg.DatabaseError(message, 0, 'error'), { code, detail: 'Failing row: secret' });
}

const coded = (code: string) => Object.assign(new Error('connect failed'), { code });

test('docs/operations.md lists what passes by itself, as the code does', () => {
  const rows = [
    ...readDocument('docs/operations.md').matchAll(/^\| ((?:`[0-9A-Z]{2,5}`(?:, )?)+) \| (.*) \|$/gm),
  ];
  expect(rows.map(([, states, reason]) => [states?.replaceAll('`', '').split(', '), reason])).toEqual(
    transientStates,
  );
});

describe('an error of a statement', () => {
  test.each([
    '08006',
    '08P01',
    '25006',
    '28P01',
    '3D000',
    '40001',
    '40P01',
    '53100',
    '53300',
    '55P03',
    '57014',
    '57P01',
    '58030',
  ])('%s passes by itself', (code) => expect(isTransient(refusedWith(code))).toBe(true));

  test.each([
    '0A000',
    '21000',
    '22021',
    '23505',
    '25P02',
    '26000',
    '3F000',
    '40002',
    '42501',
    '42P01',
    '44000',
    '54000',
    '55000',
    '55P02',
    'P0001',
    'XX000',
    'XX001',
  ])('%s is a failure', (code) => expect(isTransient(refusedWith(code))).toBe(false));

  test.each([
    coded('ECONNREFUSED'),
    coded('EPIPE'),
    Object.assign(new AggregateError([coded('ECONNREFUSED')]), { code: 'ECONNREFUSED' }),
    new Error('Connection terminated unexpectedly'),
    new Error('timeout exceeded when trying to connect'),
  ])('of the network passes by itself: %s', (error) =>
    expect(refusalOf(error)).toMatchObject({ class: 'network', transient: true }),
  );

  test.each([
    new TypeError('x is undefined'),
    new Error('a group was inserted and did not come back'),
    'thrown',
    undefined,
  ])('of the program is a failure: %s', (error) =>
    expect(refusalOf(error)).toMatchObject({ class: 'program', transient: false }),
  );

  test('shows its SQLSTATE and its message, and no value of a row', () => {
    expect(refusalOf(refusedWith('55000', 'cannot update table "friend_group_member"'))).toEqual({
      class: '55',
      transient: false,
      reason: '55000: cannot update table "friend_group_member"',
    });
    for (const message of [
      'invalid input syntax for type bigint: "alice"',
      'value "alice" is out of range for type integer',
      'invalid value "a "lice" b" for x',
    ])
      expect(refusalOf(refusedWith('22P02', message)).reason).not.toMatch(/lice|secret/);
    expect(refusalOf(refusedWith('42501', `${'x'.repeat(5000)}\0`)).reason.length).toBeLessThan(250);
  });
});
