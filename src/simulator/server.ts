import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type ApiCall, createAppApi, parseJson } from './app-api.ts';
import { type Arrivals, createArrivals } from './arrivals.ts';
import { type ControlOrder, controlOrder } from './control-order.ts';
import { createFaultDraw, type Fault, type FaultKind } from './faults.ts';
import { type Answer, failure, type Reading } from './group-api.ts';
import type { Random } from './random.ts';
import { type Spoilt, spoil } from './spoil.ts';
import { createTruth, type Truth } from './truth.ts';

export interface SimulatorOptions {
  readonly appId: number;
  readonly secretKey: string;
  readonly admin?: string;
  /** Default: any free port of the loopback interface. */
  readonly listen?: { readonly host?: string; readonly port?: number };
  readonly reading?: Reading;
  /** Calls in a sliding second; one more is answered with 60007. */
  readonly callsPerSecond?: number;
  /** Milliseconds an answer takes. */
  readonly latency?: { readonly least: number; readonly most: number };
  readonly faults?: readonly Fault[];
}

/** What the simulator has seen. */
interface SimulatorStats {
  readonly calls: number;
  /** The most group_get calls that certainly arrived within one sliding second. */
  readonly worstSecond: number;
  /** Answers by error code; 0 is success, names are faults. */
  readonly answers: Readonly<Record<string, number>>;
}

/** The vendor's API on a port of the loopback interface, with the truth behind it. */
export interface Simulator {
  readonly origin: string;
  readonly truth: Truth;
  stats(): SimulatorStats;
  /** Replaces the faults; an empty list ends them. */
  setFaults(faults: readonly Fault[]): void;
  setReading(reading: Reading): void;
  /** The secret key that signatures are checked with from now on. */
  setSecretKey(key: string): void;
  close(): Promise<void>;
}

/** Longer than any client waits. */
const hangMs = 60_000;
const maxBodyBytes = 1024 * 1024;

/** Starts the simulator. */
export async function startSimulator(options: SimulatorOptions, random: Random): Promise<Simulator> {
  const { appId, admin = 'administrator' } = options;
  const { host = '127.0.0.1', port: wantedPort = 0 } = options.listen ?? {};
  const { reading = 'full', secretKey, faults = [] } = options;
  const settings: Settings = { reading, secretKey, faults };
  const truth = createTruth();
  const arrivals = createArrivals();
  const answers = new Map<string, number>();
  const api = createAppApi({
    appId,
    admin,
    truth,
    secretKey: () => settings.secretKey,
    reading: () => settings.reading,
  });
  const drawFaultOf = createFaultDraw(random);
  const stats = (): SimulatorStats => ({ ...arrivals.stats(), answers: Object.fromEntries(answers) });
  const handleCall = createCallHandler(options, random, arrivals, {
    api,
    faultOf: (account) => drawFaultOf(account, settings.faults),
    count: (what) => answers.set(what, (answers.get(what) ?? 0) + 1),
  });
  const handleControl = createControlHandler(truth, settings, stats);

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://simulator');
    const handle = url.pathname.startsWith('/control') ? handleControl : handleCall;
    handle(request, response, url).catch(() => response.destroy());
  });
  // Longer than any client keeps an idle connection, so that it is never the server that closes first.
  server.keepAliveTimeout = 65_000;
  const port = await listen(server, wantedPort, host);

  return {
    origin: `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`,
    truth,
    stats,
    setFaults(replacement) {
      settings.faults = replacement;
    },
    setReading(replacement) {
      settings.reading = replacement;
    },
    setSecretKey(key) {
      settings.secretKey = key;
    },
    async close() {
      arrivals.close();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** What can be changed while the simulator runs. */
interface Settings {
  reading: Reading;
  secretKey: string;
  faults: readonly Fault[];
}

interface CallParts {
  readonly api: (call: ApiCall) => Answer;
  readonly faultOf: (account: string) => FaultKind | undefined;
  readonly count: (what: string) => void;
}

function createCallHandler(
  { callsPerSecond = 200, latency }: SimulatorOptions,
  random: Random,
  arrivals: Arrivals,
  { api, faultOf, count }: CallParts,
) {
  let responses = 0;

  /** Every other response says its length, and the others come in chunks: clients must cope with both. */
  function send(response: ServerResponse, status: number, type: string, body: string): void {
    responses += 1;
    const length = responses % 2 === 0 ? { 'content-length': Buffer.byteLength(body) } : {};
    response.writeHead(status, { 'content-type': type, ...length }).end(body);
  }

  async function sendSpoilt(response: ServerResponse, spoilt: Spoilt): Promise<void> {
    if (spoilt === 'reset') response.socket?.resetAndDestroy();
    else if (spoilt === 'hang') {
      await pause(hangMs);
      response.destroy();
    } else send(response, spoilt.status, spoilt.type, spoilt.body);
  }

  return async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    // The vendor counts a call when it arrives, before it reads it.
    const overLimit = url.pathname === '/v4/sns/group_get' && arrivals.note() > callsPerSecond;
    const body = await readBody(request);
    const fault = faultOf(accountOf(body));
    if (latency !== undefined) await pause(latency.least + random.next() * (latency.most - latency.least));
    const answer = overLimit ? failure(60007, 'frequency limit') : api({ url, method: request.method, body });
    if (fault === undefined || overLimit) {
      count(String(answer['ErrorCode']));
      send(response, 200, 'application/json', JSON.stringify(answer));
    } else {
      count(String(fault));
      await sendSpoilt(response, spoil(fault, answer, url));
    }
  };
}

function createControlHandler(truth: Truth, settings: Settings, stats: () => SimulatorStats) {
  function carryOut(order: ControlOrder): boolean {
    switch (order.do) {
      case 'change':
        return truth.change(order.account, order.change);
      case 'add_account':
        truth.addAccount(order.account);
        return true;
      case 'remove_account':
        truth.removeAccount(order.account);
        return true;
      case 'set_sequence':
        truth.setSequence(order.account, order.sequence);
        return true;
      case 'set_faults':
        settings.faults = order.faults;
        return true;
      case 'set_reading':
        settings.reading = order.reading;
        return true;
      case 'set_secret_key':
        settings.secretKey = order.key;
        return true;
    }
  }

  return async (request: IncomingMessage, response: ServerResponse, { pathname }: URL): Promise<void> => {
    const respond = (status: number, value: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (pathname === '/control/stats') return void respond(200, stats());
    if (pathname === '/control/truth') return void respond(200, truth.rows());
    const order = controlOrder.safeParse(parseJson(await readBody(request)));
    if (!order.success) return void respond(400, { error: order.error.issues });
    respond(200, { ok: carryOut(order.data) });
  };
}

/** Listens, and returns the port. */
async function listen(server: Server, port: number, host: string): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function accountOf(body: string): string {
  return /"From_Account"\s*:\s*"([^"]*)"/.exec(body)?.[1] ?? '';
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new Error('body too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
