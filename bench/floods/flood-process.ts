// Sends requests as fast as a server answers, in a given number of loops, in a process of its own.
import { Agent, request } from 'node:http';
import { z } from 'zod';
import { serve } from '../support/serve.ts';

const flood = z.object({
  url: z.string(),
  loops: z.number(),
  /** Of the body that is posted; 0 asks with GET. */
  bodyBytes: z.number(),
});

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
let generation = 0;
let answered = 0;

function ask(url: string, body: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const method = body.length === 0 ? 'GET' : 'POST';
    const sent = request(url, { agent, method, headers: { 'content-length': body.length } }, (response) => {
      answered += 1;
      response.resume();
      response.once('close', resolve);
    });
    // A server that does not want the body ends the connection.
    sent.once('error', () => resolve());
    sent.end(body);
  });
}

async function loop(url: string, body: Buffer, mine: number): Promise<void> {
  while (generation === mine) await ask(url, body);
}

serve({
  begin(value) {
    const { url, loops, bodyBytes } = flood.parse(value);
    generation += 1;
    answered = 0;
    for (let count = 0; count < loops; count += 1) void loop(url, Buffer.alloc(bodyBytes, 'x'), generation);
  },
  /** Ends the flood; gives how many answers came. */
  end() {
    generation += 1;
    agent.destroy();
    return answered;
  },
});
