import tls from 'tls-sig-api-v2';
import type { Scrubber } from '../scrubber.ts';

interface UserSigOptions {
  readonly appId: number;
  /** The key as it is now: it may be replaced while the daemon runs. */
  readonly secretKey: () => string;
  readonly admin: string;
  /** Called for every signature made, so that none reaches a log. */
  readonly scrubber: Scrubber;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** The signature that every call carries in its URL. */
export interface UserSigSource {
  /** A signature with at least an hour left. */
  current(): string;
  /** Forgets the present one: the vendor says it has expired. */
  renew(): void;
}

const lifetimeSeconds = 86_400;
const renewBeforeMs = 3_600_000;

/** Makes UserSigs (TLSSigAPIv2, the vendor's package) and keeps one until an hour before it expires. */
export function createUserSigSource(options: UserSigOptions): UserSigSource {
  const { now = () => performance.now() } = options;
  let held: { readonly sig: string; readonly key: string; readonly until: number } | undefined;

  return {
    current() {
      const key = options.secretKey();
      if (held === undefined || held.key !== key || now() >= held.until) {
        const sig = signUser({ ...options, secretKey: key });
        options.scrubber.addPassing(sig);
        held = { sig, key, until: now() + lifetimeSeconds * 1000 - renewBeforeMs };
      }
      return held.sig;
    },
    renew() {
      held = undefined;
    },
  };
}

/** One UserSig for the app's administrator, valid for a day from now. */
export function signUser(app: {
  readonly appId: number;
  readonly secretKey: string;
  readonly admin: string;
}): string {
  return new tls.Api(app.appId, app.secretKey).genUserSig(app.admin, lifetimeSeconds);
}
