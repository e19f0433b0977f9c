import { Pool } from 'undici';
import { z } from 'zod';
import { signUser } from '../../src/tencent/user-sig.ts';

/** How to reach the vendor. */
export const vendorAddress = z.object({ origin: z.string(), appId: z.number(), secretKey: z.string() });

/** One account's answer, as a client reads it that trusts the vendor. */
export interface SimpleAnswer {
  readonly CurrentSequence: number;
  readonly ResultItem?: readonly { GroupName: string; FriendNumber: number; To_Account?: string[] }[];
}

/** Calls `group_get` and parses the answer, and nothing else. */
type SimpleCaller = (accountId: string, sequence: number) => Promise<SimpleAnswer>;

/** A caller over this many kept connections. */
export function createSimpleCaller(
  address: z.infer<typeof vendorAddress>,
  connections: number,
): SimpleCaller {
  const pool = new Pool(address.origin, { connections });
  const query = new URLSearchParams({
    sdkappid: String(address.appId),
    identifier: 'administrator',
    usersig: signUser({ ...address, admin: 'administrator' }),
    random: '1',
    contenttype: 'json',
  });
  const path = `/v4/sns/group_get?${query}`;
  const headers = { 'content-type': 'application/json' };
  return async (accountId, sequence) => {
    const body = JSON.stringify({
      From_Account: accountId,
      LastSequence: sequence,
      NeedFriend: 'Need_Friend_Type_Yes',
    });
    const response = await pool.request({ method: 'POST', path, headers, body });
    const answer: SimpleAnswer = JSON.parse(await response.body.text());
    return answer;
  };
}
