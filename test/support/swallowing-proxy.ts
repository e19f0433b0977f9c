import { connect as connectTo, createServer, type Socket } from 'node:net';

/** A TCP proxy before a server, as a NAT that forgets connections without a word. */
export interface SwallowingProxy extends AsyncDisposable {
  /** A URL of the server, through the proxy. */
  through(url: string): string;
  /** From now on what the connections that are open say, in either direction, goes nowhere. New ones work. */
  swallow(): void;
  /** Connections that are swallowed and that the client has not given up. */
  swallowed(): number;
}

/** A proxy to the server of a URL. */
export async function startSwallowingProxy(serverUrl: string): Promise<SwallowingProxy> {
  const target = new URL(serverUrl);
  const open = new Set<{ client: Socket; server: Socket; swallowed: boolean }>();
  const listener = createServer((client) => {
    const server = connectTo(Number(target.port), target.hostname);
    const pair = { client, server, swallowed: false };
    open.add(pair);
    client.on('data', (chunk) => pair.swallowed || server.write(chunk));
    server.on('data', (chunk) => pair.swallowed || client.write(chunk));
    client
      .on('error', () => undefined)
      .on('close', () => {
        open.delete(pair);
        // A server behind a NAT does not learn that its client has gone.
        if (!pair.swallowed) server.destroy();
      });
    server
      .on('error', () => undefined)
      .on('close', () => {
        if (!pair.swallowed) client.destroy();
      });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const { port } = address;
  const servers = new Set<Socket>();
  return {
    through(url) {
      const proxied = new URL(url);
      proxied.hostname = '127.0.0.1';
      proxied.port = String(port);
      return proxied.href;
    },
    swallow() {
      for (const pair of open) {
        pair.swallowed = true;
        servers.add(pair.server);
      }
    },
    swallowed: () => [...open].filter((pair) => pair.swallowed).length,
    async [Symbol.asyncDispose]() {
      for (const { client, server } of open) for (const socket of [client, server]) socket.destroy();
      for (const server of servers) server.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
