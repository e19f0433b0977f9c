import { describe, expect, test } from 'vitest';
import { TencentError, type TencentErrorKind } from '../../src/tencent/errors.ts';
import { groupGetRequest, parseErrorEnvelope, parseGroupGet } from '../../src/tencent/wire.ts';

function kindOf(act: () => unknown): TencentErrorKind | 'no error' {
  try {
    act();
    return 'no error';
  } catch (error) {
    if (error instanceof TencentError) return error.kind;
    throw error;
  }
}

const item = (fields: object) => ({ CurrentSequence: 2, ResultItem: [{ GroupName: 'a', ...fields }] });

describe('an answer of group_get', () => {
  test('the vendor’s own example is read', () => {
    const body = {
      ResultItem: [{ GroupName: 'group1', FriendNumber: 1, To_Account: ['friend1'] }],
      CurrentSequence: 2,
      ActionStatus: 'OK',
      ErrorCode: 0,
      ErrorInfo: '',
      ErrorDisplay: '',
    };
    expect(parseErrorEnvelope(body)).toBeUndefined();
    expect(parseGroupGet(body)).toEqual({
      sequence: 2,
      groups: [{ name: 'group1', friendNumber: 1, members: ['friend1'] }],
    });
  });

  test('absent and null lists are empty, and new fields are passed over', () => {
    expect(parseGroupGet({ CurrentSequence: 0 }).groups).toEqual([]);
    expect(parseGroupGet({ CurrentSequence: 0, ResultItem: null, Future: { a: 1 } }).groups).toEqual([]);
    expect(parseGroupGet(item({ FriendNumber: 0, To_Account: null, Color: 'red' })).groups).toEqual([
      { name: 'a', friendNumber: 0, members: [] },
    ]);
    expect(parseGroupGet(item({ To_Account: ['x'] })).groups[0]?.friendNumber).toBe(1);
  });

  test('a group or a member that comes twice is there once, and no one named is lost', () => {
    const body = {
      CurrentSequence: 1,
      ResultItem: [
        { GroupName: 'a', FriendNumber: 2, To_Account: ['x', 'x'] },
        { GroupName: 'a', FriendNumber: 2, To_Account: ['y'] },
      ],
    };
    expect(parseGroupGet(body).groups).toEqual([{ name: 'a', friendNumber: 2, members: ['x', 'y'] }]);
  });

  test('names that differ in one byte are different groups', () => {
    const names = ['work', 'Work', ' work', 'Caf\u00e9', 'Cafe\u0301'];
    const body = { CurrentSequence: 1, ResultItem: names.map((GroupName) => ({ GroupName })) };
    expect(parseGroupGet(body).groups.map((group) => group.name)).toEqual(names);
  });

  test.each([
    ['no sequence', { ResultItem: [] }],
    ['a sequence in text', { CurrentSequence: '2' }],
    ['a negative sequence', { CurrentSequence: -1 }],
    ['a fractional sequence', { CurrentSequence: 1.5 }],
    ['a sequence that JSON has rounded', { CurrentSequence: 2 ** 53 }],
    ['groups that are no list', { CurrentSequence: 1, ResultItem: {} }],
    ['a group without a name', { CurrentSequence: 1, ResultItem: [{}] }],
    ['a member that is a number', item({ To_Account: [1] })],
    ['a count without the friends it counts', item({ FriendNumber: 3 })],
    ['a body that is a list', []],
  ])('%s is unclear', (_, body) => {
    expect(kindOf(() => parseGroupGet(body))).toBe('malformed_response');
  });

  test('the greatest whole number survives', () => {
    expect(parseGroupGet({ CurrentSequence: Number.MAX_SAFE_INTEGER }).sequence).toBe(9_007_199_254_740_991);
  });

  test.each([
    ['a NUL', 'a\0b'],
    ['half a surrogate pair', 'a\ud800b'],
    ['more bytes than an index holds', '长'.repeat(400)],
  ])('a name with %s can’t be stored, and the error does not quote it', (_, name) => {
    const act = () => parseGroupGet({ CurrentSequence: 1, ResultItem: [{ GroupName: name }] });
    expect(kindOf(act)).toBe('unstorable');
    expect(act).not.toThrow(name);
  });
});

describe('the envelope', () => {
  test('an error code comes with the vendor’s words', () => {
    expect(parseErrorEnvelope({ ActionStatus: 'FAIL', ErrorCode: 30003, ErrorInfo: 'no such user' })).toEqual(
      {
        code: 30003,
        info: 'no such user',
      },
    );
  });

  test('FAIL without a code is no success', () => {
    expect(parseErrorEnvelope({ ActionStatus: 'FAIL', ErrorCode: 0 })).toEqual({ code: 0, info: '' });
  });

  test.each([[null], ['text'], [{}], [{ ErrorCode: '0' }], [{ ErrorCode: 2 ** 31 }]])(
    '%j carries no envelope',
    (body) => {
      expect(kindOf(() => parseErrorEnvelope(body))).toBe('malformed_response');
    },
  );
});

describe('a request', () => {
  test('says what it is asked to say, and nothing else', () => {
    expect(JSON.parse(groupGetRequest({ accountId: '甲', lastSequence: 7 }))).toEqual({
      From_Account: '甲',
      LastSequence: 7,
      NeedFriend: 'Need_Friend_Type_Yes',
    });
    expect(JSON.parse(groupGetRequest({ accountId: 'a', withMembers: false }))).toEqual({
      From_Account: 'a',
    });
    expect(JSON.parse(groupGetRequest({ accountId: 'a', groupNames: ['家人'] }))).toMatchObject({
      GroupName: ['家人'],
    });
  });
});
