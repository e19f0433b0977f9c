import { createHash, timingSafeEqual } from 'node:crypto';

/** What the query of a callback says of who sent it. */
interface CallbackSignature {
  /** Seconds since the epoch, as text. */
  readonly requestTime: string | undefined;
  readonly sign: string | undefined;
}

/** The vendor's own advice: an older or newer one is a replayed copy. */
const mostSecondsOff = 60;

/**
 * Whether a callback was signed with our token, and lately: hex sha256(token + RequestTime). The body is not signed,
 * so who reads one callback on its way can say what he likes for a minute; no hint may do harm.
 */
export function isSignedCallback(signature: CallbackSignature, token: string, nowMs: number): boolean {
  const { requestTime = '', sign = '' } = signature;
  if (!/^\d{1,12}$/.test(requestTime) || !/^[\da-f]{64}$/i.test(sign)) return false;
  if (Math.abs(Number(requestTime) - nowMs / 1000) > mostSecondsOff) return false;
  const expected = createHash('sha256')
    .update(token + requestTime)
    .digest();
  return timingSafeEqual(expected, Buffer.from(sign, 'hex'));
}
