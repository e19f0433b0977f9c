import { createServer } from 'node:http';
import { createScrubber } from '../../src/scrubber.ts';
import { createTencentClient, type TencentClient } from '../../src/tencent/client.ts';
import { testApp } from './world.ts';

/** A vendor that answers with any text at all. */
export interface RawVendor extends AsyncDisposable {
  readonly client: TencentClient;
  /** Bodies of the requests and of the answers, since they were last taken. */
  take(): readonly { readonly asked: string; readonly answered: string }[];
}

/** Starts a server that answers each call with what `answer` gives, and a client of it. */
export async function startRawVendor(answer: () => string, now: () => number): Promise<RawVendor> {
  let calls: { asked: string; answered: string }[] = [];
  const server = createServer(async (request, response) => {
    let asked = '';
    for await (const chunk of request.setEncoding('utf8')) asked += chunk;
    const answered = answer();
    calls.push({ asked, answered });
    response.end(answered);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const client = createTencentClient({
    app: { ...testApp, origin: `http://127.0.0.1:${port}` },
    takeToken: async () => undefined,
    now,
    scrubber: createScrubber(),
  });
  return {
    client,
    take() {
      const taken = calls;
      calls = [];
      return taken;
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
