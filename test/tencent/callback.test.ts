import { describe, expect, test } from 'vitest';
import { parseCallback } from '../../src/tencent/callback.ts';
import { isSignedCallback } from '../../src/tencent/callback-signature.ts';

describe('a callback', () => {
  test('about friends names both ends of each pair, each once', () => {
    const body = {
      CallbackCommand: 'Sns.CallbackFriendAdd',
      PairList: [
        { From_Account: 'ann', To_Account: 'bob', Initiator_Account: 'ann' },
        { From_Account: 'bob', To_Account: 'cat' },
      ],
      ClientCmd: 'friend_add',
    };
    for (const command of ['FriendAdd', 'FriendDelete', 'BlackListAdd', 'BlackListDelete']) {
      expect(parseCallback(`Sns.Callback${command}`, body)).toEqual({
        kind: 'friends',
        accounts: ['ann', 'bob', 'cat'],
      });
    }
  });

  test('about an account’s state names that account', () => {
    const body = { CallbackCommand: 'State.StateChange', Info: { Action: 'Login', To_Account: 'ann' } };
    expect(parseCallback('State.StateChange', body)).toEqual({ kind: 'state', accounts: ['ann'] });
  });

  test('about the limit names the command and its figures, where it has them', () => {
    const body = { ServiceName: 'sns', Command: 'group_get', Request: 190, Limit: 200 };
    expect(parseCallback('Alert.RequestOverLimit', body)).toEqual({
      kind: 'over_limit',
      command: 'sns/group_get',
      calls: 190,
      limit: 200,
    });
    expect(parseCallback('Alert.RequestOverLimit', {})).toEqual({
      kind: 'over_limit',
      command: undefined,
      calls: undefined,
      limit: undefined,
    });
  });

  test.each([
    ['Group.CallbackAfterSendMsg', { GroupId: 'g' }],
    ['Sns.CallbackPrevFriendAdd', { Requester_Account: 'ann', FriendItem: [] }],
    ['C2C.CallbackAfterSendMsg', null],
  ])('about anything else (%s) says nothing to us', (command, body) => {
    expect(parseCallback(command, body)).toEqual({ kind: 'other' });
  });

  test.each([
    ['Sns.CallbackFriendAdd', undefined],
    ['Sns.CallbackFriendAdd', 'text'],
    ['State.StateChange', { Info: { To_Account: 7 } }],
    ['State.StateChange', []],
    ['Alert.RequestOverLimit', { Request: -1 }],
  ])('that is not well-formed is distinguished (%s %j)', (command, body) => {
    expect(parseCallback(command, body)).toBeUndefined();
  });
});

describe('a signature', () => {
  // The vendor's own vector.
  const token = 'xxxxyyyy';
  const requestTime = '1669872112';
  const sign = '17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061';
  const now = Number(requestTime) * 1000;

  test('holds for the token and the time that it was made with', () => {
    expect(isSignedCallback({ requestTime, sign }, token, now)).toBe(true);
    expect(isSignedCallback({ requestTime, sign: sign.toUpperCase() }, token, now)).toBe(true);
    expect(isSignedCallback({ requestTime, sign }, 'another', now)).toBe(false);
    expect(isSignedCallback({ requestTime: '1669872113', sign }, token, now)).toBe(false);
  });

  test.each([-61, 61])('counts no more when it is %i s off', (seconds) => {
    expect(isSignedCallback({ requestTime, sign }, token, now + seconds * 1000)).toBe(false);
    expect(isSignedCallback({ requestTime, sign }, token, now + Math.sign(seconds) * 59_000)).toBe(true);
  });

  test.each([
    [{ requestTime: undefined, sign }],
    [{ requestTime, sign: undefined }],
    [{ requestTime, sign: sign.slice(1) }],
    [{ requestTime: `${requestTime} `, sign }],
    [{ requestTime, sign: 'é'.repeat(64) }],
  ])('is not %j', (signature) => {
    expect(isSignedCallback(signature, token, now)).toBe(false);
  });
});
