import type { CallingAppConfig } from '../config/app-config.ts';
import { freshFiles } from '../config/fresh-files.ts';
import type { Scrubber } from '../scrubber.ts';
import { type AnswerShare, NoRoomError } from './answer-memory.ts';
import { kindOfCode, kindOfStatus, TencentError, type TencentErrorKind } from './errors.ts';
import { AnswerTooLongError, createExchange } from './exchange.ts';
import { placeOfProxy, proxyFor } from './proxy.ts';
import { createUserSigSource } from './user-sig.ts';
import { type GroupGetAnswer, groupGetRequest, parseGroupGet, parseVerdict } from './wire.ts';

/** How a stop reaches a call: `soft` ends waiting for a token, `hard` ends a call that is under way. */
export interface StopSignals {
  readonly soft: AbortSignal;
  readonly hard: AbortSignal;
  /** Told when a call is sent, which may be more than once. */
  readonly onSent?: () => void;
  /** Room for the answer; without it, an answer is received whatever else is under way. */
  readonly share?: AnswerShare;
}

export interface TencentClientOptions {
  readonly app: CallingAppConfig;
  /** Resolves when one call may be sent; every HTTP attempt takes one. */
  readonly takeToken: (signal: AbortSignal) => Promise<void>;
  /** The database's time in milliseconds. */
  readonly now: () => number;
  readonly scrubber: Scrubber;
  /** Told of every HTTP attempt the moment it is sent. */
  readonly onCall?: () => void;
  /** Told of every HTTP attempt when it has ended, and after how many seconds. */
  readonly onCallEnd?: (outcome: CallOutcome, seconds: number) => void;
  readonly timeouts?: Timeouts;
}

/** How an HTTP attempt ended: answered, with which error of the vendor's or the network's, or broken off by a stop. */
export type CallOutcome = 'answered' | TencentErrorKind | 'broken_off';

export interface Timeouts {
  readonly connectMs: number;
  readonly answerMs: number;
}

/** One account as the vendor tells it; `sentAt` is the database's time at which the request left. */
export interface GroupRead extends GroupGetAnswer {
  readonly sentAt: number;
}

/** What the vendor answered, and its verdict where that is not "well". */
interface Answer {
  readonly sentAt: number;
  readonly body: unknown;
  readonly verdict: ReturnType<typeof parseVerdict>;
}

export interface TencentClient {
  /** One account's groups with members; `lastSequence` 0 asks for everything. Throws TencentError or NoRoomError. */
  groupGet(accountId: string, lastSequence: number, stop: StopSignals): Promise<GroupRead>;
  /** The answer to any `group_get` body, just as it came. Throws TencentError for a failed call only. */
  callGroupGet(body: string, stop: StopSignals): Promise<{ readonly sentAt: number; readonly body: unknown }>;
  close(): Promise<void>;
}

// The vendor's backend gives up after 3 s, so its own time-out answer (30007) must still reach us.
const defaultTimeouts: Timeouts = { connectMs: 5000, answerMs: 8000 };
// 32 groups of 3,000 members with ids of 32 bytes are 3.4 MB, and twice that if every letter is written as an escape.
const maxAnswerBytes = 16 * 2 ** 20;
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
  let signedWith = '';
  let signedPath = '';
  const exchange = createExchange({ origin: app.origin, proxies: app.proxies, ...timeouts, maxAnswerBytes });

  async function attempt(body: string, stop: StopSignals): Promise<Answer> {
    await options.takeToken(stop.soft);
    const sentAt = options.now();
    options.onCall?.();
    stop.onSent?.();
    const sent = performance.now();
    const end = (outcome: CallOutcome) => options.onCallEnd?.(outcome, (performance.now() - sent) / 1000);
    try {
      const answer = parseJson(await post(body, stop));
      const verdict = parseVerdict(answer);
      end(verdict === undefined ? 'answered' : kindOfCode(verdict.code));
      return { sentAt, body: answer, verdict };
    } catch (error) {
      end(error instanceof TencentError ? error.kind : 'broken_off');
      throw error;
    }
  }

  async function post(body: string, { hard, share }: StopSignals): Promise<Uint8Array> {
    const answer = await exchange.post(path(), body, hard, share).catch((error: unknown) => {
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

  /** The path with the signature in it: a secret, which must not leave this module. */
  function path(): string {
    const sig = userSig.current();
    if (sig !== signedWith) {
      signedWith = sig;
      signedPath = `/v4/sns/group_get?${new URLSearchParams({
        sdkappid: String(app.appId),
        identifier: app.admin,
        usersig: sig,
        contenttype: 'json',
      })}`;
    }
    return `${signedPath}&random=${Math.floor(Math.random() * 2 ** 32)}`;
  }

  async function callGroupGet(body: string, stop: StopSignals) {
    const answer = await attempt(body, stop);
    const { verdict } = answer;
    if (verdict === undefined || kindOfCode(verdict.code) !== 'sign_again') return answer;
    userSig.renew();
    return attempt(body, stop);
  }

  return {
    callGroupGet,

    async groupGet(accountId, lastSequence, stop) {
      const answer = await callGroupGet(groupGetRequest({ accountId, lastSequence }), stop);
      const { verdict } = answer;
      if (verdict !== undefined) {
        const kind = kindOfCode(verdict.code);
        throw new TencentError(quotable(scrubber.scrub(verdict.info)) || 'no words from the vendor', {
          // Refused again with a signature made this second: it is not its age.
          kind: kind === 'sign_again' ? 'credentials' : kind,
          code: verdict.code,
          sentAt: answer.sentAt,
        });
      }
      return { sentAt: answer.sentAt, ...parseGroupGet(answer.body) };
    },

    close: () => exchange.close(),
  };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    // Fatal decoding: a replaced byte would come out as a name that nobody has.
    return JSON.parse(utf8.decode(bytes));
  } catch {
    // The parser's message quotes the text, which may echo the request; so no cause.
    throw new TencentError('the answer is not JSON', { kind: 'transient', code: 0 });
  }
}

/** Network errors by their code alone: messages of lower layers may quote what was sent or received. */
function asTencentError(error: unknown, proxy: string | undefined): TencentError {
  if (error instanceof AnswerTooLongError)
    return new TencentError(error.message, { kind: 'unclear_answer', code: 0 });
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
