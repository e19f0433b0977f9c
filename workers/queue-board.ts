import { createBullBoard } from '@bull-board/api';
import type { BaseAdapter } from '@bull-board/api/baseAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyInstance } from 'fastify';

/**
 * Adds Bull Board under `path`. It only shows: a queue paused there would stop polls without a trace in `status`,
 * and a job needs no second try, for its accounts keep their place in the queue.
 */
export async function addQueueBoard(
  server: FastifyInstance,
  path: string,
  queues: readonly BaseAdapter[],
): Promise<void> {
  const serverAdapter = new FastifyAdapter();
  createBullBoard({
    queues: [...queues],
    serverAdapter,
    options: { uiConfig: { boardTitle: 'tim-mirror queues' } },
  });
  serverAdapter.setBasePath(path);
  await server.register(
    async (scope) => {
      // Its page names a font of another server's; nothing of ours is loaded from elsewhere.
      scope.addHook('onSend', async (_request, _reply, payload: unknown) =>
        typeof payload === 'string' ? payload.replace(/<link href="https:[^>]*>/g, '') : payload,
      );
      await scope.register(serverAdapter.registerPlugin());
    },
    { prefix: path },
  );
}
