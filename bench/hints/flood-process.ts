// Calls the daemon's hook as the vendor does, so many times a second, in a process of its own.
import { Pool } from 'undici';
import { z } from 'zod';
import { createRandom } from '../../src/simulator/random.ts';
import { serve } from '../support/serve.ts';

const begin = z.object({ origin: z.string(), appId: z.number(), ids: z.array(z.string()) });
const rate = z.number();

/** The vendor keeps connections; undici opens as many as it needs up to this. */
const connections = 50;
const everyMs = 5;

const random = createRandom(1);
const path = (appId: number) => `/hooks/tim?SdkAppid=${appId}&CallbackCommand=Sns.CallbackFriendAdd`;
let pool: Pool | undefined;
let app = { appId: 0, ids: [] as readonly string[] };
let perSecond = 0;
let owed = 0;
let last = performance.now();
let underWay = 0;
let strangers = 0;
let tookMs: number[] = [];
let failed = 0;

/** A pair of which one is enrolled and the other is nobody, or enrolled too. */
function body(): string {
  const known = random.pick(app.ids);
  strangers += 1;
  const other = strangers % 2 === 0 ? `stranger-${strangers % 1_000_000}` : random.pick(app.ids);
  return JSON.stringify({ PairList: [{ From_Account: known, To_Account: other }] });
}

async function call(to: Pool): Promise<void> {
  const sent = performance.now();
  underWay += 1;
  try {
    const answer = await to.request({ method: 'POST', path: path(app.appId), body: body() });
    await answer.body.dump();
    if (answer.statusCode !== 200) failed += 1;
    tookMs.push(performance.now() - sent);
  } catch {
    failed += 1;
  } finally {
    underWay -= 1;
  }
}

setInterval(() => {
  const now = performance.now();
  owed += ((now - last) / 1000) * perSecond;
  last = now;
  // What a slow daemon has not answered in a second is not heaped up.
  for (; pool !== undefined && owed >= 1; owed -= 1) if (underWay < perSecond) void call(pool);
}, everyMs).unref();

serve({
  begin(value) {
    const { origin, ...rest } = begin.parse(value);
    pool = new Pool(origin, { connections });
    app = rest;
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
