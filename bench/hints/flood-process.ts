// Calls the daemon's hook as the vendor does, this many times a second, in a process of its own.
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { z } from 'zod';
import { createRandom } from '../../src/simulator/random.ts';
import { serve } from '../support/serve.ts';

const begin = z.object({
  origin: z.string(),
  appId: z.number(),
  token: z.string(),
  ids: z.array(z.string()),
});
type Target = Omit<z.infer<typeof begin>, 'ids'>;
const rate = z.number();

/** The vendor keeps its connections. */
const connections = 50;
const everyMs = 5;
const good = 'HTTP/1.1 200';

const random = createRandom(1);
const idle: ((sent: number) => void)[] = [];
let ids: readonly string[] = [];
let perSecond = 0;
let owed = 0;
let last = performance.now();
let strangers = 0;
let tookMs: number[] = [];
let failed = 0;

/** A pair of which one is enrolled and the other is unknown, or enrolled too. */
function body(): string {
  strangers += 1;
  const other = strangers % 2 === 0 ? `stranger-${strangers % 1_000_000}` : random.pick(ids);
  return JSON.stringify({ PairList: [{ From_Account: random.pick(ids), To_Account: other }] });
}

let signed = { at: 0, text: '' };

/** As the vendor signs; once a second is enough. */
function signature(token: string): string {
  const at = Math.floor(Date.now() / 1000);
  if (signed.at === at) return signed.text;
  const sign = createHash('sha256').update(`${token}${at}`).digest('hex');
  signed = { at, text: `&Sign=${sign}&RequestTime=${at}` };
  return signed.text;
}

/**
 * A connection that sends one callback at a time. Written by hand, for a client costs more than the server does, and
 * this machine has both to carry. An answer comes in one piece.
 */
function open(target: Target): void {
  const { origin, appId, token } = target;
  const { hostname, port, host } = new URL(origin);
  const path = `/hooks/tim?SdkAppid=${appId}&CallbackCommand=Sns.CallbackFriendAdd`;
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let sent = 0;
  const send = (at: number) => {
    const text = body();
    sent = at;
    socket.write(
      `POST ${path}${signature(token)} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
  };
  socket.setEncoding('latin1');
  socket.on('data', (answer: string) => {
    if (!answer.startsWith(good)) failed += 1;
    tookMs.push(performance.now() - sent);
    // The server ends a connection after a thousand requests, and says so with the last answer.
    if (!/^connection: close/im.test(answer)) idle.push(send);
  });
  socket.on('connect', () => idle.push(send));
  socket.on('error', () => {
    failed += 1;
  });
  socket.on('close', () => {
    const place = idle.indexOf(send);
    if (place >= 0) idle.splice(place, 1);
    open(target);
  });
}

setInterval(() => {
  const now = performance.now();
  // What a slow daemon has not answered is not heaped up for longer than a second.
  owed = Math.min(owed + ((now - last) / 1000) * perSecond, perSecond);
  last = now;
  for (; owed >= 1; owed -= 1) {
    const send = idle.shift();
    if (send === undefined) break;
    send(now);
  }
}, everyMs).unref();

serve({
  begin(value) {
    const { ids: known, ...target } = begin.parse(value);
    ids = known;
    for (let count = 0; count < connections; count += 1) open(target);
  },
  rate(value) {
    perSecond = rate.parse(value);
    owed = 0;
  },
  /** Milliseconds that answers took since the last time, at the 50th, 99th and 100th percentile. */
  take() {
    const sorted = Float64Array.from(tookMs).sort();
    const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    const taken = { answered: sorted.length, failed, p50: at(0.5), p99: at(0.99), most: at(1) };
    tookMs = [];
    failed = 0;
    return taken;
  },
});
