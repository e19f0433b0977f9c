import { Queue, Worker } from 'bullmq';
import type { Contender, ContenderOrder } from '../contender.ts';

const readAhead = 500;
const feedMs = 500;

/** BullMQ's own limiter: one job a call, and this many jobs a second. */
export async function openBullmq({
  redisUrl,
  appId,
  callsPerSecond,
  callers,
}: ContenderOrder): Promise<Contender> {
  const connection = { url: redisUrl };
  const name = `calls-${appId}`;
  const queue = new Queue(name, { connection });
  let call: () => Promise<void> = async () => undefined;
  const worker = new Worker(name, () => call(), {
    connection,
    autorun: false,
    concurrency: callers,
    limiter: { max: callsPerSecond, duration: 1000 },
    removeOnComplete: { count: 20 },
  });
  await queue.waitUntilReady();
  let feeding: NodeJS.Timeout | undefined;
  const feed = async () => {
    if ((await queue.getWaitingCount()) < readAhead)
      await queue.addBulk(Array.from({ length: readAhead }, () => ({ name: 'call', data: {} })));
  };
  return {
    start(given) {
      call = given;
      void feed();
      feeding = setInterval(feed, feedMs);
      if (worker.isRunning()) worker.resume();
      else void worker.run();
    },
    async stop() {
      clearInterval(feeding);
      await worker.pause();
    },
  };
}
