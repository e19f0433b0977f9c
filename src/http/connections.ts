import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Bounds on connections; times in milliseconds. */
interface ConnectionLimits {
  /** Connections served at once. */
  readonly served: number;
  /** Connections beyond those that wait, unread, until one of the others has ended; above both, none is accepted. */
  readonly waiting: number;
  /** One that waits for longer is closed. */
  readonly longestWaitMs: number;
  /** One without a complete request for longer is closed for one that waits. */
  readonly timeoutMs: number;
}

const defaultConnectionLimits: ConnectionLimits = {
  served: 200,
  waiting: 300,
  longestWaitMs: 5000,
  timeoutMs: 1000,
};

export interface Connections {
  /** How many are served, and how many wait. */
  counts(): { readonly served: number; readonly waiting: number };
  /** Closes those that wait; the server itself closes the others. */
  close(): void;
}

interface Served {
  /** Since when we wait for the client, or have worked for it. */
  since: number;
  request: IncomingMessage | undefined;
}

const lookMs = 100;

/**
 * Bounds the connections of a server. Who holds connections without asking for anything gives way, so that a probe is
 * always answered. Who opens more than are served waits without being read: a refusal would have a loop of clients
 * come again at once, and cost more than they do.
 */
export function limitConnections(server: Server, limits = defaultConnectionLimits): Connections {
  const served = new Map<Socket, Served>();
  const waiting = new Map<Socket, number>();
  const listeners = server.listeners('connection');
  let timer: NodeJS.Timeout | undefined;

  server.removeAllListeners('connection');
  // A connection that waits is not read; the HTTP server begins to when it is handed over.
  Object.assign(server, { pauseOnConnect: true });
  server.maxConnections = limits.served + limits.waiting;

  function serve(socket: Socket): void {
    served.set(socket, { since: performance.now(), request: undefined });
    for (const listener of listeners) Reflect.apply(listener, server, [socket]);
    socket.resume();
  }

  /** The first to come of the addresses that have the fewest connections: one client must not keep out another. */
  function next(): Socket | undefined {
    const counts = new Map<string | undefined, number>();
    for (const { remoteAddress } of served.keys())
      counts.set(remoteAddress, (counts.get(remoteAddress) ?? 0) + 1);
    let best: Socket | undefined;
    const countOf = (socket: Socket) => counts.get(socket.remoteAddress) ?? 0;
    for (const socket of waiting.keys())
      if (best === undefined || countOf(socket) < countOf(best)) best = socket;
    return best;
  }

  function fill(): void {
    while (waiting.size > 0 && served.size < limits.served) {
      const socket = next();
      if (socket === undefined) return;
      waiting.delete(socket);
      serve(socket);
    }
  }

  /** Closes what has waited for too long, and those served that owe us most, as many as wait. */
  function look(): void {
    const now = performance.now();
    for (const [socket, since] of waiting) if (now - since > limits.longestWaitMs) socket.destroy();
    const idle = [...served]
      .filter(([, each]) => owesUs(each) && now - each.since >= limits.timeoutMs)
      .toSorted(([, one], [, other]) => one.since - other.since);
    for (const [socket] of idle.slice(0, waiting.size)) socket.destroy();
    if (waiting.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  server.on('connection', (socket: Socket) => {
    socket.on('error', () => undefined);
    socket.once('close', () => {
      served.delete(socket);
      waiting.delete(socket);
      fill();
    });
    if (served.size < limits.served) return serve(socket);
    waiting.set(socket, performance.now());
    timer ??= setInterval(look, lookMs).unref();
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const each = served.get(request.socket);
    if (each === undefined) return;
    Object.assign(each, { request, since: performance.now() });
    response.once('close', () => Object.assign(each, { request: undefined, since: performance.now() }));
  });

  return {
    counts: () => ({ served: served.size, waiting: waiting.size }),
    close() {
      clearInterval(timer);
      for (const socket of waiting.keys()) socket.destroy();
    },
  };
}

/** Whether we wait for the client: for its next request, or for the rest of one. */
function owesUs({ request }: Served): boolean {
  return request?.complete !== true;
}
