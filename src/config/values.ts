import { z } from 'zod';
import { type Region, regionOrigins } from './endpoints.ts';
import { asWeUseIt, problemOfPostgresUrl } from './postgres-url.ts';
import { parseRedisServers } from './redis-servers.ts';

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof unitMs;

/** Reads `90s`, `15m`, `24h`, `7d` (also `500ms`) as milliseconds; undefined when it is not a duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  return Number(match[1]) * unitMs[match[2] as Unit];
}

export const dayMs = unitMs.d;

/** A text that is a duration within bounds, as milliseconds. */
export function duration(bounds: { minMs: number; maxMs: number; says: string }) {
  return z.string().transform((text, context) => {
    const ms = parseDuration(text);
    if (ms === undefined) {
      context.addIssue({ code: 'custom', message: 'is not a duration; write it as 90s, 15m, 24h or 7d' });
      return z.NEVER;
    }
    if (ms < bounds.minMs || ms > bounds.maxMs) {
      context.addIssue({ code: 'custom', message: bounds.says });
      return z.NEVER;
    }
    return ms;
  });
}

/** A text that is a whole number within bounds. */
export function integer(min: number, max: number, says: string) {
  return z
    .string()
    .regex(/^\d+$/, says)
    .transform(Number)
    .refine((value) => value >= min && value <= max, says);
}

/** Names of hosts, separated by commas or blanks, in lower case. */
export const hostNames = z.string().transform((text, context) => {
  const names = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((name) => name !== '')
    .map((name) => name.replace(/^\[|\]$/g, ''));
  if (names.every((name) => /^([\w.-]+|[\da-f:.]*:[\da-f:.]*)$/.test(name) && !/^[\w.-]+:\d+$/.test(name)))
    return names;
  context.addIssue({
    code: 'custom',
    message: 'must name hosts without ports, separated by commas, such as localhost,tim.example.com',
  });
  return z.NEVER;
});

function url(protocols: readonly string[], says: string) {
  return z.string().refine((text) => {
    const parsed = URL.parse(text);
    return parsed !== null && protocols.includes(parsed.protocol);
  }, says);
}

export const postgresUrl = z.string().transform((text, context) => {
  const problem = problemOfPostgresUrl(text);
  if (problem === undefined) return asWeUseIt(text);
  context.addIssue({ code: 'custom', message: problem });
  return z.NEVER;
});

export const redisServers = z.string().transform((text, context) => {
  const servers = parseRedisServers(text);
  if (typeof servers !== 'string') return servers;
  context.addIssue({ code: 'custom', message: servers });
  return z.NEVER;
});

const regions = Object.keys(regionOrigins) as readonly Region[];
export const appIdSays = 'must be the SDKAppID of the app, a whole number such as 1400000000';
export const rateSays = 'must be a whole number from 1 to 199: the vendor allows 200 calls a second and app';
const regionSays = `must be one of ${regions.join(', ')}`;
const originSays = 'must be a URL such as https://console.tim.qq.com';

/** POLL_MIN_INTERVAL where the operator sets none. */
export const defaultMinIntervalSeconds = 10;

export const appId = integer(1, Number.MAX_SAFE_INTEGER, appIdSays);
/** Ten under the vendor's limit: calls bunch a little on their way. */
export const defaultCallsPerSecond = 190;
// 199, not 200: our clock and the vendor's never agree to the millisecond.
export const callsPerSecond = integer(1, 199, rateSays);
export const region = z.enum(regions, regionSays);
export const origin = url(['http:', 'https:'], originSays)
  .refine((text) => {
    const { pathname, search, hash, username } = new URL(text);
    return pathname === '/' && search === '' && hash === '' && username === '';
  }, 'must end with the host or its port: calls go to /v4/sns/group_get there, and nothing else of the URL is used')
  .transform((text) => new URL(text).origin);
export const admin = z.string().min(1, 'must name the app administrator').max(32, 'is longer than 32 bytes');
export const secret = z.string().min(1, 'is empty');
