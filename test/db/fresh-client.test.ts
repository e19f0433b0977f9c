import { createServer, type Server } from 'node:net';
import { sql } from 'kysely';
import { afterEach, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { FreshClient } from '../../db/fresh-client.ts';

let server: Server | undefined;

afterEach(() => {
  server?.close();
});

const message = (type: string, body: Buffer) => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
};
const accepted = message('R', Buffer.alloc(4));
const ready = message('Z', Buffer.from('I'));
const shutDown = message('E', Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0'));

/** A Postgres without TLS that answers a login with these bytes at once. */
async function startServer(answer: Buffer): Promise<string> {
  const listening = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      const asksForTls = data.length === 8 && data.readInt32BE(4) === 80877103;
      if (asksForTls) socket.write('N');
      else socket.end(answer);
    });
  });
  server = listening;
  await new Promise<void>((done) => listening.listen(0, '127.0.0.1', done));
  const address = listening.address();
  return `postgres://tim@127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}/tim`;
}

test('a connection that is ended in the same breath in which it is accepted is an error of its user’s, and ends no process', async () => {
  const url = await startServer(Buffer.concat([accepted, ready, shutDown]));
  await expect(new FreshClient({ connectionString: url }).connect()).rejects.toMatchObject({ code: '57P01' });
  const db = connect({ url, applicationName: 'test', onIdleError: () => undefined });
  await expect(sql`select 1`.execute(db)).rejects.toMatchObject({ code: '57P01' });
  await db.destroy();
});

test('a server that closes the connection when it is asked for TLS is away, and not without TLS', async () => {
  const listening = createServer((socket) => socket.destroy());
  server = listening;
  await new Promise<void>((done) => listening.listen(0, '127.0.0.1', done));
  const address = listening.address();
  const url = `postgres://tim@127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}/tim`;
  await expect(new FreshClient({ connectionString: url }).connect()).rejects.toThrow(
    /Connection terminated|ECONNRESET/,
  );
});
