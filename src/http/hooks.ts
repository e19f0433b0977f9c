import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { isLoopback } from '../config/loopback.ts';
import { type Callback, callbackAnswer, parseCallback } from '../tencent/callback.ts';
import { isSignedCallback } from '../tencent/callback-signature.ts';

export interface HooksOptions {
  /** With it every callback must be signed. */
  readonly webhookToken: string | undefined;
  /** Without a token: whether programs of this machine may call back. */
  readonly allowUnsigned: boolean;
  /** Postgres' time in milliseconds: that of this machine may be wrong. */
  readonly now: () => number;
  /** Remembers what a callback asks for, and is done at once. */
  readonly take: (appId: number, callback: Callback) => void;
  readonly hasApp: (appId: number) => boolean;
  /** A callback was refused. */
  readonly onRefused: () => void;
}

export const hooksPath = '/hooks/tim';
/** An account that unfriends all of its 3,000 friends at once sends a callback of 330 kB. */
const bodyLimit = 400_000;

const query = z.object({
  SdkAppid: z.coerce.number().int().positive(),
  CallbackCommand: z.string().min(1).max(200),
});
const signature = z.object({
  Sign: z.string().max(200).optional(),
  RequestTime: z.string().max(20).optional(),
});

/** Whether callbacks are taken at all: signed ones from everywhere, others only from this machine and only if allowed. */
export function takesHooks(host: string, { webhookToken, allowUnsigned }: HooksOptions): boolean {
  return webhookToken !== undefined || (allowUnsigned && isLoopback(host));
}

/** Whether the query of a callback is signed; what it brings along is read only then. */
export function createSignatureCheck(options: HooksOptions): ((given: unknown) => boolean) | undefined {
  const { webhookToken: token, now, onRefused } = options;
  if (token === undefined) return undefined;
  return (given) => {
    const { Sign: sign, RequestTime: requestTime } = signature.safeParse(given).data ?? {};
    const signed = isSignedCallback({ sign, requestTime }, token, now());
    if (!signed) onRefused();
    return signed;
  };
}

/** `POST /hooks/tim`: the vendor's callbacks, as hints. Answered before anything is done about them. */
export async function addHooks(server: FastifyInstance, options: HooksOptions): Promise<void> {
  await server.register(async (hooks) => {
    hooks.removeAllContentTypeParsers();
    // JSON whatever its sender calls it.
    hooks.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));

    hooks.post(hooksPath, { bodyLimit }, async (request, reply) => {
      const refuse = (code: number, error: string) => {
        options.onRefused();
        return reply.code(code).send({ error });
      };
      const asked = query.safeParse(request.query);
      if (!asked.success)
        return refuse(400, 'name an app and a command: ?SdkAppid=…&CallbackCommand=…, as the vendor does');
      const { SdkAppid: appId, CallbackCommand: command } = asked.data;
      if (!options.hasApp(appId)) return refuse(404, 'this daemon does not mirror that app');
      const callback = parseCallback(command, parseJson(request.body));
      if (callback === undefined) return refuse(400, 'the body is not that of this callback');
      options.take(appId, callback);
      return reply.send(callbackAnswer);
    });
  });
}

function parseJson(body: unknown): unknown {
  try {
    return JSON.parse(String(body));
  } catch {
    return undefined;
  }
}
