// An HTTP server far away, which notes when calls arrive.
import { createServer, type Server as HttpServer } from 'node:http';
import type { Server } from 'node:net';
import { z } from 'zod';
import { serve } from '../support/serve.ts';
import { createDistance } from './latency.ts';

const latency = z.object({ least: z.number(), most: z.number() });
const open = z.object({ there: latency, back: latency });

let arrived = new Map<string, number[]>();
const server = createServer((request, response) => {
  const path = request.url ?? '';
  const moments = arrived.get(path) ?? [];
  arrived.set(path, moments);
  moments.push(performance.timeOrigin + performance.now());
  request.resume();
  response.end('{}');
});
server.keepAliveTimeout = 65_000;
const port = await listen(server);

function listen(listening: HttpServer | Server): Promise<number> {
  return new Promise((resolve, reject) => {
    listening.once('error', reject);
    listening.listen(0, '127.0.0.1', () => {
      const address = listening.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

serve({
  /** The origin at which the server is reached over such a distance. */
  async open(value) {
    const { there, back } = open.parse(value);
    return `http://127.0.0.1:${await listen(createDistance(port, there, back))}`;
  },
  /** All arrivals since the last report, by path. */
  report() {
    const reported = Object.fromEntries(arrived);
    arrived = new Map();
    return reported;
  },
});
