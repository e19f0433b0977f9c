import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createArrivals } from './arrivals.ts';
import { type ControlOrder, controlOrder } from './control-order.ts';
import { drawFault, type Fault, type FaultKind } from './faults.ts';
import {
  type Answer,
  answerGroupAdd,
  answerGroupDelete,
  answerGroupGet,
  failure,
  type Reading,
  shorten,
} from './group-api.ts';
import type { Random } from './random.ts';
import { createTruth, type Truth } from './truth.ts';
import { createUserSigCheck } from './user-sig-check.ts';

export interface SimulatorOptions {
  readonly appId: number;
  readonly secretKey: string;
  readonly admin?: string;
  /** Default: loopback. */
  readonly host?: string;
  /** Default: any free port. */
  readonly port?: number;
  readonly reading?: Reading;
  /** Calls in a sliding second; one more is answered with 60007. */
  readonly callsPerSecond?: number;
  /** Milliseconds an answer takes. */
  readonly latency?: { readonly least: number; readonly most: number };
  readonly faults?: readonly Fault[];
  readonly random: Random;
}

/** What the simulator has seen. */
export interface SimulatorStats {
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
/** So long `empty_once` and `short_once` spare an account that they have hit. */
const sparedMs = 300_000;

/** Starts the simulator. */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const {
    appId,
    admin = 'administrator',
    host = '127.0.0.1',
    callsPerSecond = 200,
    latency,
    random,
  } = options;
  const truth = createTruth();
  const arrivals = createArrivals();
  const checkUserSig = createUserSigCheck();
  const answers = new Map<string, number>();
  // When a fault that hits once last hit an account.
  const spared = new Map<string, number>();
  let { reading = 'full', secretKey, faults = [] } = options;

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  // Longer than any client keeps an idle connection, so that it is never the server that closes first.
  server.keepAliveTimeout = 65_000;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator');
    if (url.pathname.startsWith('/control')) {
      await handleControl(request, response, url.pathname);
      return;
    }
    // The vendor counts a call when it arrives, before it reads it.
    const overLimit = url.pathname === '/v4/sns/group_get' && arrivals.note() > callsPerSecond;
    const body = await readBody(request);
    const fault = drawFaultFor(accountOf(body));
    if (latency !== undefined) await pause(latency.least + random.next() * (latency.most - latency.least));
    const answer = overLimit ? failure(60007, 'frequency limit') : answerCall(url, request.method, body);
    if (fault !== undefined && !overLimit) await spoil(fault, answer, url, response);
    else send(response, answer);
  }

  function drawFaultFor(account: string): FaultKind | undefined {
    const fault = drawFault(faults, random);
    if (fault !== 'empty_once' && fault !== 'short_once') return fault;
    const now = performance.now();
    if (now - (spared.get(account) ?? Number.NEGATIVE_INFINITY) < sparedMs) return undefined;
    spared.set(account, now);
    return fault;
  }

  function answerCall(url: URL, method: string | undefined, body: string): Answer {
    const refusal = refuse(url.searchParams);
    if (refusal !== undefined) return refusal;
    if (method !== 'POST') return failure(60009, 'only POST');
    const parsed = parse(body);
    if (parsed === undefined) return failure(60003, 'body is not json');
    switch (url.pathname) {
      case '/v4/sns/group_get':
        return answerGroupGet(truth, reading, parsed);
      case '/v4/sns/group_add':
        return answerGroupAdd(truth, parsed);
      case '/v4/sns/group_delete':
        return answerGroupDelete(truth, parsed);
      default:
        return failure(60006, 'unknown command');
    }
  }

  function refuse(query: URLSearchParams): Answer | undefined {
    const identifier = query.get('identifier');
    const userSig = query.get('usersig');
    if (Number(query.get('sdkappid')) !== appId)
      return failure(70020, `sdkappid ${query.get('sdkappid')} not found`);
    if (query.get('contenttype') !== 'json') return failure(60002, 'contenttype must be json');
    // Third parties send more than 32 bits, and are served.
    if (!/^\d+$/.test(query.get('random') ?? '')) return failure(60002, 'random must be an unsigned integer');
    if (!identifier || !userSig) return failure(60004, 'identifier or usersig is missing');
    const code = checkUserSig(userSig, {
      appId,
      identifier,
      secretKey,
      now: Math.floor(Date.now() / 1000),
    });
    // A vendor that quotes the signature is the worst that a client must cope with.
    if (code !== undefined) return failure(code, `usersig ${userSig} of ${identifier} refused`);
    if (identifier !== admin) return failure(60010, 'identifier is not an administrator of the app');
    return undefined;
  }

  /** Ruins an answer. */
  async function spoil(fault: FaultKind, answer: Answer, url: URL, response: ServerResponse): Promise<void> {
    count(String(fault));
    const text = JSON.stringify(answer);
    const respond = (status: number, type: string, body: string) =>
      response.writeHead(status, { 'content-type': type }).end(body);
    if (typeof fault === 'number') return send(response, failure(fault, `simulated ${fault}`));
    switch (fault) {
      case 'http_502':
        respond(502, 'text/html', `<html>502 Bad Gateway: ${url.pathname}${url.search}</html>`);
        return;
      case 'html':
        respond(200, 'text/html', `<html>maintenance, you asked for ${url.search}</html>`);
        return;
      case 'reset':
        response.socket?.resetAndDestroy();
        return;
      case 'hang':
        await pause(hangMs);
        response.destroy();
        return;
      case 'truncated':
        respond(200, 'application/json', text.slice(0, text.length / 2));
        return;
      case 'wrong_type':
        respond(
          200,
          'application/json',
          JSON.stringify({ ...answer, CurrentSequence: 'many', ResultItem: {} }),
        );
        return;
      case 'null_fields':
        respond(
          200,
          'application/json',
          JSON.stringify({ ...answer, CurrentSequence: null, ResultItem: null }),
        );
        return;
      case 'empty':
      case 'empty_once':
        respond(200, 'application/json', JSON.stringify({ ...answer, ResultItem: [] }));
        return;
      case 'short':
      case 'short_once':
        respond(200, 'application/json', JSON.stringify(shorten(answer)));
        return;
    }
  }

  function send(response: ServerResponse, answer: Answer): void {
    count(String(answer['ErrorCode']));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  function count(what: string): void {
    answers.set(what, (answers.get(what) ?? 0) + 1);
  }

  function stats(): SimulatorStats {
    return { ...arrivals.stats(), answers: Object.fromEntries(answers) };
  }

  async function handleControl(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
  ): Promise<void> {
    const respond = (status: number, value: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (path === '/control/stats') return void respond(200, stats());
    if (path === '/control/truth') return void respond(200, truth.rows());
    const order = controlOrder.safeParse(parse(await readBody(request)));
    if (!order.success) return void respond(400, { error: order.error.issues });
    respond(200, { ok: carryOut(order.data) });
  }

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
        faults = order.faults;
        return true;
      case 'set_reading':
        reading = order.reading;
        return true;
      case 'set_secret_key':
        secretKey = order.key;
        return true;
    }
  }

  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });

  return {
    origin: `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`,
    truth,
    stats,
    setFaults(replacement) {
      faults = replacement;
    },
    setReading(replacement) {
      reading = replacement;
    },
    setSecretKey(key) {
      secretKey = key;
    },
    async close() {
      arrivals.close();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
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

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
