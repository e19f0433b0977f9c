import type { CallingAppConfig } from '../config/app-config.ts';
import { freshFiles } from '../config/fresh-files.ts';
import { placeOfProxy, proxyFor } from '../config/proxies.ts';
import type { StopSignals } from '../lifecycle.ts';
import type { Scrubber } from '../scrubber.ts';
import { kindOfCode, kindOfStatus, TencentError, type TencentErrorKind } from './errors.ts';
import { createExchange, ResponseTooLongError } from './exchange.ts';
import { NoRoomError, type ResponseShare } from './response-memory.ts';
import { createUserSigSource, type UserSigSource } from './user-sig.ts';
import { type GroupGetResponse, groupGetRequest, parseErrorEnvelope, parseGroupGet } from './wire.ts';

/** How a call ends, and what it may take. A stop ends waiting for a token at once. */
export interface CallOptions extends StopSignals {
  /** Called when a call is sent, which may be more than once. */
  readonly onSent?: () => void;
  /** Room for the answer; without it, an answer is received whatever else is under way. */
  readonly share?: ResponseShare;
}

export interface TencentClientOptions {
  readonly app: CallingAppConfig;
  /** Resolves when one call may be sent; every HTTP attempt takes one. */
  readonly takeToken: (signal: AbortSignal) => Promise<void>;
  /** The database's time in milliseconds. */
  readonly now: () => number;
  readonly scrubber: Scrubber;
  /** Called for every HTTP attempt the moment it is sent. */
  readonly onCall?: () => void;
  /** Called for every HTTP attempt when it has ended, and after how many seconds. */
  readonly onCallEnd?: (outcome: CallOutcome, seconds: number) => void;
  readonly timeouts?: Timeouts;
}

/** How an HTTP attempt ended: answered, with which error of the vendor's or the network's, or aborted by a stop. */
type CallOutcome = 'answered' | TencentErrorKind | 'aborted';

interface Timeouts {
  readonly connectMs: number;
  readonly responseMs: number;
}

/** One account as the vendor has it; `sentAt` is the database's time at which the request left. */
export interface GroupRead extends GroupGetResponse {
  readonly sentAt: number;
}

/** A response just as it came, and the error that the vendor reports in it; the error’s words are scrubbed. */
interface RawResponse {
  readonly sentAt: number;
  readonly body: unknown;
  readonly error: TencentError | undefined;
}

export interface TencentClient {
  /** One account's groups with members; `lastSequence` 0 asks for everything. Throws TencentError or NoRoomError. */
  groupGet(accountId: string, lastSequence: number, stop: CallOptions): Promise<GroupRead>;
  /** The response to any `group_get` body. Throws TencentError for a failed call, not for an error of the vendor’s. */
  callGroupGet(body: string, stop: CallOptions): Promise<RawResponse>;
  close(): Promise<void>;
}

// The vendor's backend gives up after 3 s, so its own time-out answer (30007) must still reach us.
const defaultTimeouts: Timeouts = { connectMs: 5000, responseMs: 8000 };
// 32 groups of 3,000 members with ids of 32 bytes are 3.4 MB, and twice that if every letter is written as an escape.
const maxResponseBytes = 16 * 2 ** 20;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Calls the vendor for one app over a keep-alive pool. */
export function createTencentClient(options: TencentClientOptions): TencentClient {
  const { app, scrubber, timeouts = defaultTimeouts } = options;
  const userSig = createUserSigSource({
    appId: app.appId,
    secretKey: () => freshFiles.fresh(app.secretKey),
    admin: app.admin,
    scrubber,
  });
  const signedPath = createSignedPath(app, userSig);
  const exchange = createExchange({
    origin: app.origin,
    proxies: app.proxies,
    ...timeouts,
    maxResponseBytes,
  });

  async function attempt(body: string, stop: CallOptions): Promise<RawResponse> {
    await options.takeToken(stop.soft);
    const sentAt = options.now();
    options.onCall?.();
    stop.onSent?.();
    const sent = performance.now();
    const end = (outcome: CallOutcome) => options.onCallEnd?.(outcome, (performance.now() - sent) / 1000);
    try {
      const answer = parseJson(await post(body, stop));
      const error = vendorError(answer, sentAt, scrubber);
      end(error === undefined ? 'answered' : error.kind);
      return { sentAt, body: answer, error };
    } catch (error) {
      end(error instanceof TencentError ? error.kind : 'aborted');
      throw error;
    }
  }

  async function post(body: string, { hard, share }: CallOptions): Promise<Uint8Array> {
    const answer = await exchange.post(signedPath(), body, hard, share).catch((error: unknown) => {
      hard.throwIfAborted();
      if (error instanceof NoRoomError) throw error;
      throw asTencentError(error, proxyFor(app.origin, app.proxies));
    });
    if (answer.status === 200) return answer.body;
    throw new TencentError(`the vendor answered with HTTP status ${answer.status}`, {
      kind: kindOfStatus(answer.status),
      code: answer.status,
    });
  }

  async function callGroupGet(body: string, stop: CallOptions): Promise<RawResponse> {
    const first = await attempt(body, stop);
    if (first.error?.kind !== 'signature_expired') return first;
    userSig.renew();
    const second = await attempt(body, stop);
    if (second.error?.kind !== 'signature_expired') return second;
    // Refused again with a signature made this second: it is not its age.
    const { message, code } = second.error;
    return {
      ...second,
      error: new TencentError(message, { kind: 'credentials', code, sentAt: second.sentAt }),
    };
  }

  return {
    callGroupGet,

    async groupGet(accountId, lastSequence, stop) {
      const { sentAt, body, error } = await callGroupGet(groupGetRequest({ accountId, lastSequence }), stop);
      if (error !== undefined) throw error;
      return { sentAt, ...parseGroupGet(body) };
    },

    close: () => exchange.close(),
  };
}

/** The error that the vendor reports in a response, its words scrubbed. */
function vendorError(body: unknown, sentAt: number, scrubber: Scrubber): TencentError | undefined {
  const envelope = parseErrorEnvelope(body);
  if (envelope === undefined) return undefined;
  const { code, info } = envelope;
  return new TencentError(quotable(scrubber.scrub(info)) || 'no words from the vendor', {
    kind: kindOfCode(code),
    code,
    sentAt,
  });
}

/** The path with the signature in it: a secret, which must not leave this module. */
function createSignedPath(app: CallingAppConfig, userSig: UserSigSource): () => string {
  let signedWith = '';
  let path = '';
  return () => {
    const sig = userSig.current();
    if (sig !== signedWith) {
      signedWith = sig;
      path = `/v4/sns/group_get?${new URLSearchParams({
        sdkappid: String(app.appId),
        identifier: app.admin,
        usersig: sig,
        contenttype: 'json',
      })}`;
    }
    return `${path}&random=${Math.floor(Math.random() * 2 ** 32)}`;
  };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    // Fatal decoding: a replaced byte would come out as a name that no account has.
    return JSON.parse(utf8.decode(bytes));
  } catch {
    // The parser's message quotes the text, which may echo the request; so no cause.
    throw new TencentError('the answer is not JSON', { kind: 'transient', code: 0 });
  }
}

/** Network errors by their code alone: messages of lower layers may quote what was sent or received. */
function asTencentError(error: unknown, proxy: string | undefined): TencentError {
  if (error instanceof ResponseTooLongError)
    return new TencentError(error.message, { kind: 'malformed_response', code: 0 });
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  const way = proxy === undefined ? '' : ` through the proxy ${placeOfProxy(proxy)}`;
  return new TencentError(`no answer from the vendor${way} (${code})`, { kind: 'transient', code: 0 });
}

/** The vendor's words as Postgres and a terminal can show them. */
function quotable(text: string): string {
  return [...text.slice(0, 500)]
    .map((letter) => (letter < ' ' || letter === '\u007f' ? ' ' : letter))
    .join('')
    .toWellFormed()
    .trim();
}
