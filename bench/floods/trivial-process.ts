// A server that answers everything at once with two letters: what a flood costs its client.
import { createServer } from 'node:http';
import { serve } from '../support/serve.ts';

const server = createServer((_request, response) => response.end('ok'));

serve({
  begin: () =>
    new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : '');
      });
    }),
});
