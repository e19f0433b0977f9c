import { createServer, type Server, Socket } from 'node:net';

/** How long a way takes; milliseconds. */
export interface Latency {
  readonly least: number;
  readonly most: number;
}

/** A relay to a local port: whatever passes takes as long as on a long way, there and back, and stays in order. */
export function createDistance(port: number, there: Latency, back: Latency): Server {
  return createServer((near) => {
    const far = new Socket().connect(port, '127.0.0.1');
    for (const socket of [near, far]) socket.setNoDelay(true);
    delay(near, far, there);
    delay(far, near, back);
  });
}

function delay(from: Socket, to: Socket, { least, most }: Latency): void {
  let free = 0;
  const pass = (act: () => void) => {
    const now = performance.now();
    free = Math.max(free, now + least + Math.random() * (most - least));
    setTimeout(act, Math.round(free - now));
  };
  from.on('data', (chunk) => pass(() => to.write(chunk)));
  from.on('close', () => to.destroy());
  from.on('error', () => to.destroy());
}
