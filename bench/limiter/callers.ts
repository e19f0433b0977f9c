import { z } from 'zod';
import { type HelperProcess, startHelper } from '../support/helper-process.ts';
import type { CallerOrder } from './caller-process.ts';

/** What the callers of a callers have done. */
interface CallersReport {
  /** Moments since the last report, milliseconds since the epoch. */
  readonly sent: readonly number[];
  /** Since the beginning. */
  readonly redisCalls: number;
}

/** Processes that keep to one limit together. */
export interface Callers {
  readonly path: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  report(): Promise<CallersReport>;
  /** Kills one of the processes in full swing, and puts another in its place. */
  replaceOne(): Promise<void>;
  end(): Promise<void>;
}

const reportSchema = z.object({ sent: z.array(z.number()), redisCalls: z.number() });

/** Starts this many processes of callers. */
export async function startCallers(processes: number, order: CallerOrder): Promise<Callers> {
  const start = async () => {
    const member = startHelper(new URL('caller-process.ts', import.meta.url));
    await member.send('begin', order);
    return member;
  };
  const members = await Promise.all(Array.from({ length: processes }, start));
  // What those have done that were killed.
  const left: { sent: number[]; redisCalls: number } = { sent: [], redisCalls: 0 };
  const sendAll = (what: string) => Promise.all(members.map((member) => member.send(what)));
  const ask = (member: HelperProcess) => member.ask(reportSchema, 'report');

  return {
    path: order.path,
    async start() {
      await sendAll('start');
    },
    async stop() {
      await sendAll('stop');
    },
    async report() {
      const reports = await Promise.all(members.map(ask));
      return {
        sent: [...left.sent.splice(0), ...reports.flatMap(({ sent }) => sent)],
        redisCalls: reports.reduce((sum, { redisCalls }) => sum + redisCalls, left.redisCalls),
      };
    },
    async replaceOne() {
      const fired = members.shift();
      if (fired === undefined) return;
      const { sent, redisCalls } = await ask(fired);
      left.sent.push(...sent);
      left.redisCalls += redisCalls;
      await fired.end();
      const hired = await start();
      members.push(hired);
      await hired.send('start');
    },
    async end() {
      await Promise.all(members.map((member) => member.end()));
    },
  };
}
