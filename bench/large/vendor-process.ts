// A vendor whose accounts are small, but for those whose name says that they are as large as an account may be. The
// simulator would keep each friend of each account, gigabytes of them; here all large accounts hold the same.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { serve } from '../support/serve.ts';
import { groupsOfLarge, isLarge } from './large-accounts.ts';

const begin = z.object({ latency: z.object({ least: z.number(), most: z.number() }) });
const asked = z.object({ From_Account: z.string(), LastSequence: z.number() });

const answer = (groups: readonly unknown[]) =>
  Buffer.from(
    JSON.stringify({
      ActionStatus: 'OK',
      ErrorCode: 0,
      ErrorInfo: '',
      CurrentSequence: 1,
      ResultItem: groups,
    }),
  );
const large = answer(groupsOfLarge());
const small = answer([{ GroupName: '家人', FriendNumber: 2, To_Account: ['friend-1', 'friend-2'] }]);
const nothingNew = answer([]);

const calls = { small: 0, large: 0 };
let latency = { least: 0, most: 0 };

function answerTo(body: string): Buffer {
  const { From_Account: account, LastSequence: sequence } = asked.parse(JSON.parse(body));
  calls[isLarge(account) ? 'large' : 'small'] += 1;
  if (sequence === 1) return nothingNew;
  return isLarge(account) ? large : small;
}

const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  await sleep(latency.least + Math.random() * (latency.most - latency.least));
  const body = answerTo(Buffer.concat(chunks).toString());
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
});

serve({
  async begin(value) {
    ({ latency } = begin.parse(value));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  },
  stats: () => ({ ...calls, largeBytes: large.length }),
});
