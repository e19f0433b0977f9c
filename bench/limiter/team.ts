import { z } from 'zod';
import { type HelperProcess, startHelper } from '../support/helper-process.ts';
import type { CallerOrder } from './caller-process.ts';

/** What the callers of a team have done. */
export interface TeamReport {
  /** Moments since the last report, milliseconds since the epoch. */
  readonly sent: readonly number[];
  /** Since the beginning. */
  readonly redisCalls: number;
}

/** Processes that keep to one limit together. */
export interface Team {
  readonly path: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  report(): Promise<TeamReport>;
  /** Kills one of the processes in full swing, and puts another in its place. */
  replaceOne(): Promise<void>;
  end(): Promise<void>;
}

const reportSchema = z.object({ sent: z.array(z.number()), redisCalls: z.number() });

/** Starts so many processes of callers. */
export async function startTeam(processes: number, order: CallerOrder): Promise<Team> {
  const hire = async () => {
    const member = startHelper(new URL('caller-process.ts', import.meta.url));
    await member.tell('begin', order);
    return member;
  };
  const members = await Promise.all(Array.from({ length: processes }, hire));
  // What those have done that were killed.
  const left: { sent: number[]; redisCalls: number } = { sent: [], redisCalls: 0 };
  const tellAll = (what: string) => Promise.all(members.map((member) => member.tell(what)));
  const ask = (member: HelperProcess) => member.ask(reportSchema, 'report');

  return {
    path: order.path,
    async start() {
      await tellAll('start');
    },
    async stop() {
      await tellAll('stop');
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
      const hired = await hire();
      members.push(hired);
      await hired.tell('start');
    },
    async end() {
      await Promise.all(members.map((member) => member.end()));
    },
  };
}
