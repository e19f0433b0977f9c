import {
  type Answer,
  answerGroupAdd,
  answerGroupDelete,
  answerGroupGet,
  failure,
  type Reading,
} from './group-api.ts';
import type { Truth } from './truth.ts';
import { createUserSigCheck } from './user-sig-check.ts';

/** A call of the vendor's API as it came. */
export interface ApiCall {
  readonly url: URL;
  readonly method: string | undefined;
  readonly body: string;
}

interface AppApiOptions {
  readonly appId: number;
  readonly admin: string;
  readonly truth: Truth;
  readonly secretKey: () => string;
  readonly reading: () => Reading;
}

/** The vendor's API for one app: who may call, and what is answered. */
export function createAppApi(options: AppApiOptions): (call: ApiCall) => Answer {
  const { truth } = options;
  const refuse = createGatekeeper(options);
  return ({ url, method, body }) => {
    const refusal = refuse(url.searchParams);
    if (refusal !== undefined) return refusal;
    if (method !== 'POST') return failure(60009, 'only POST');
    const parsed = parseJson(body);
    if (parsed === undefined) return failure(60003, 'body is not json');
    switch (url.pathname) {
      case '/v4/sns/group_get':
        return answerGroupGet(truth, options.reading(), parsed);
      case '/v4/sns/group_add':
        return answerGroupAdd(truth, parsed);
      case '/v4/sns/group_delete':
        return answerGroupDelete(truth, parsed);
      default:
        return failure(60006, 'unknown command');
    }
  };
}

/** The answer to a call that the app may not make; undefined for one that it may. */
function createGatekeeper({ appId, admin, secretKey }: AppApiOptions) {
  const checkUserSig = createUserSigCheck();
  return (query: URLSearchParams): Answer | undefined => {
    const identifier = query.get('identifier');
    const userSig = query.get('usersig');
    if (Number(query.get('sdkappid')) !== appId)
      return failure(70020, `sdkappid ${query.get('sdkappid')} not found`);
    if (query.get('contenttype') !== 'json') return failure(60002, 'contenttype must be json');
    // Third parties send more than 32 bits, and are served.
    if (!/^\d+$/.test(query.get('random') ?? '')) return failure(60002, 'random must be an unsigned integer');
    if (!identifier || !userSig) return failure(60004, 'identifier or usersig is missing');
    const now = Math.floor(Date.now() / 1000);
    const code = checkUserSig(userSig, { appId, identifier, secretKey: secretKey(), now });
    // A vendor that quotes the signature is the worst that a client must cope with.
    if (code !== undefined) return failure(code, `usersig ${userSig} of ${identifier} refused`);
    if (identifier !== admin) return failure(60010, 'identifier is not an administrator of the app');
    return undefined;
  };
}

/** JSON's value; undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
