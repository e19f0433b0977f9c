import type { Socket } from 'node:net';

/** Bounds what is done for those who have shown no token. */
export interface WorkLimit {
  /**
   * Resolves with true when it is this request's turn. Resolves with false when its connection has ended, or asks for
   * several things at once, which ends it.
   */
  turn(socket: Socket): Promise<boolean>;
  /** How many wait. */
  waiting(): number;
}

export interface WorkLimitOptions {
  readonly perSecond: number;
  /** Turns that may come at once after a pause. */
  readonly burst: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/**
 * One request costs 0.2 ms, so all together cost 2 % of a processor. With 200 connections served at once, none waits for
 * longer than two seconds, and Kubernetes' probes wait for five.
 */
const defaultWorkLimit: WorkLimitOptions = { perSecond: 100, burst: 50 };

interface Waiting {
  readonly socket: Socket;
  readonly resolve: (turn: boolean) => void;
}

/** Turns in the order in which they were asked for. Who waits costs nothing, and so does who waits to ask again. */
export function createWorkLimit({
  perSecond,
  burst,
  now = () => performance.now(),
}: WorkLimitOptions = defaultWorkLimit): WorkLimit {
  const intervalMs = 1000 / perSecond;
  const queue: Waiting[] = [];
  const asking = new Set<Socket>();
  let nextAt = Number.NEGATIVE_INFINITY;
  let armed = false;

  function takeSlot(): boolean {
    const at = now();
    if (nextAt - at > (burst - 1) * intervalMs) return false;
    nextAt = Math.max(nextAt, at) + intervalMs;
    return true;
  }

  function serve(): void {
    armed = false;
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      if (!first.socket.destroyed && !takeSlot()) break;
      queue.shift();
      asking.delete(first.socket);
      first.resolve(!first.socket.destroyed);
    }
    wake();
  }

  function wake(): void {
    if (queue.length === 0 || armed) return;
    armed = true;
    setTimeout(serve, intervalMs);
  }

  return {
    waiting: () => queue.length,
    async turn(socket) {
      if (asking.has(socket)) {
        socket.destroy();
        return false;
      }
      if (queue.length === 0 && takeSlot()) return true;
      asking.add(socket);
      return new Promise((resolve) => {
        queue.push({ socket, resolve });
        wake();
      });
    },
  };
}
