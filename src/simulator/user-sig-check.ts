import { createHmac } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import { z } from 'zod';

const signed = z.object({
  'TLS.ver': z.literal('2.0'),
  'TLS.identifier': z.string(),
  'TLS.sdkappid': z.union([z.number(), z.string()]),
  'TLS.time': z.number(),
  'TLS.expire': z.number(),
  'TLS.sig': z.string(),
});

interface ExpectedSigner {
  readonly appId: number;
  readonly identifier: string;
  readonly secretKey: string;
  /** Seconds since the epoch. */
  readonly now: number;
}

/** Checks UserSigs, and knows the last good one again: a client sends the same for hours. */
export function createUserSigCheck(): typeof checkUserSig {
  let good: { readonly of: string; readonly until: number } | undefined;
  return (userSig, expected) => {
    const of = `${expected.appId} ${expected.identifier} ${expected.secretKey} ${userSig}`;
    if (good?.of === of && expected.now <= good.until) return undefined;
    const code = checkUserSig(userSig, expected);
    const fields = code === undefined ? decodeUserSig(userSig) : undefined;
    if (fields !== undefined) good = { of, until: fields['TLS.time'] + fields['TLS.expire'] };
    return code;
  };
}

/** The vendor's code for what is wrong with a UserSig; undefined when it is good. Written against the format, not with the vendor's package. */
export function checkUserSig(userSig: string, expected: ExpectedSigner): number | undefined {
  const fields = decodeUserSig(userSig);
  if (fields === undefined) return 70003;
  if (fields['TLS.identifier'] !== expected.identifier) return 70013;
  if (Number(fields['TLS.sdkappid']) !== expected.appId) return 70014;
  const text = [
    `TLS.identifier:${fields['TLS.identifier']}`,
    `TLS.sdkappid:${fields['TLS.sdkappid']}`,
    `TLS.time:${fields['TLS.time']}`,
    `TLS.expire:${fields['TLS.expire']}`,
    '',
  ].join('\n');
  const sig = createHmac('sha256', expected.secretKey).update(text).digest('base64');
  if (sig !== fields['TLS.sig']) return 70003;
  if (expected.now > fields['TLS.time'] + fields['TLS.expire']) return 70001;
  return undefined;
}

/** The fields inside a UserSig; undefined when it is none. */
export function decodeUserSig(userSig: string): z.infer<typeof signed> | undefined {
  try {
    const base64 = userSig.replaceAll('*', '+').replaceAll('-', '/').replaceAll('_', '=');
    return signed.parse(JSON.parse(inflateSync(Buffer.from(base64, 'base64')).toString('utf8')));
  } catch {
    return undefined;
  }
}
