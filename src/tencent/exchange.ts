import { type Dispatcher, Pool } from 'undici';
import { type AbortListeners, createAbortListeners } from '../abort-listeners.ts';
import { type Proxies, proxyFor } from '../config/proxies.ts';
import { createProxyAgent } from './proxy.ts';
import type { ResponseShare } from './response-memory.ts';

interface ExchangeOptions {
  readonly origin: string;
  readonly proxies?: Proxies | undefined;
  readonly connectMs: number;
  /** For the head of an answer, and for each part of its body. */
  readonly responseMs: number;
  readonly maxResponseBytes: number;
}

interface HttpResponse {
  readonly status: number;
  readonly body: Uint8Array;
}

/** An answer is longer than any that is awaited. */
export class ResponseTooLongError extends Error {
  override readonly name = 'ResponseTooLongError';
}

/** Posts JSON to one origin over kept connections. */
interface Exchange {
  /**
   * Rejects with the network's error, with ResponseTooLongError, with the reason of `stop`, or with NoRoomError. The
   * answer is received once `share` has room for it.
   */
  post(path: string, body: string, stop: AbortSignal, share?: ResponseShare): Promise<HttpResponse>;
  close(): Promise<void>;
}

const headers = { 'content-type': 'application/json' };

/**
 * Straight on undici's dispatcher: `request` with its stream, iterator and abort signal costs as much again as the call
 * itself, 0.05 ms of 0.14.
 */
export function createExchange(options: ExchangeOptions): Exchange {
  // No bound on connections: the poll workers bound the calls in flight, and a call that has
  // its token must not wait in a queue, or the calls would leave in bursts.
  const { origin, proxies, connectMs, responseMs } = options;
  const timeouts = { connect: { timeout: connectMs }, headersTimeout: responseMs, bodyTimeout: responseMs };
  const proxy = proxyFor(origin, proxies);
  const dispatcher =
    proxy === undefined
      ? new Pool(origin, { connections: null, ...timeouts })
      : createProxyAgent(proxy, proxies?.none, timeouts);
  const stops = createAbortListeners();
  return {
    post(path, body, stop, share) {
      return new Promise((resolve, reject) => {
        stop.throwIfAborted();
        const handler = receive({ ...options, stop, stops, share, resolve, reject });
        dispatcher.dispatch({ origin, method: 'POST', path, headers, body }, handler);
      });
    },
    close: () => dispatcher.close(),
  };
}

interface Receiver extends ExchangeOptions {
  readonly stop: AbortSignal;
  readonly stops: AbortListeners;
  readonly share: ResponseShare | undefined;
  readonly resolve: (answer: HttpResponse) => void;
  readonly reject: (error: unknown) => void;
}

/** An answer that does not say its length takes room for a quarter more than has come, and for so much at least. */
const leastStepBytes = 16 * 1024;

/** Gathers one answer; gives up when it is stopped, and when the answer takes too long. */
function receive(receiver: Receiver): Dispatcher.DispatchHandler {
  const { stop, stops, share, connectMs, responseMs, maxResponseBytes } = receiver;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let status = 0;
  let controller: Dispatcher.DispatchController | undefined;
  let failure: Error | undefined;

  const onStop = () => giveUp(new Error('stopped'));
  const deadline = createDeadline(() => giveUp(new Error('too slow')));
  const room = createRoom({ share, stop, deadline, responseMs, giveUp: (error) => giveUp(error) });
  deadline.set(connectMs + responseMs);
  stops.add(stop, onStop);

  function end(): void {
    deadline.end();
    stops.remove(stop, onStop);
  }

  function giveUp(error: Error): void {
    failure ??= error;
    controller?.abort(failure);
    end();
    receiver.reject(stop.aborted ? stop.reason : failure);
  }

  return {
    onRequestStart(started) {
      controller = started;
      // It was given up before it had a connection.
      if (failure !== undefined) started.abort(failure);
    },
    onResponseStart(from, statusCode, head) {
      status = statusCode;
      const length = Number(head['content-length'] ?? 0);
      if (length > maxResponseBytes) giveUp(tooLong(maxResponseBytes));
      else room.make(from, length);
    },
    onResponseData(from, chunk) {
      bytes += chunk.length;
      if (bytes > maxResponseBytes) return giveUp(tooLong(maxResponseBytes));
      chunks.push(chunk);
      if (bytes > room.size()) room.make(from, bytes + Math.max(leastStepBytes, bytes >> 2));
    },
    onResponseEnd() {
      end();
      share?.received(bytes);
      receiver.resolve({
        status,
        body: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks),
      });
    },
    onResponseError(_controller, error) {
      end();
      receiver.reject(stop.aborted ? stop.reason : error);
    },
  };
}

interface Deadline {
  /** Replaces the time that is left by `ms`. Nothing once it has ended. */
  set(ms: number): void;
  pause(): void;
  end(): void;
}

function createDeadline(onPassed: () => void): Deadline {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const pause = () => clearTimeout(timer);
  return {
    set(ms) {
      pause();
      if (!ended) timer = setTimeout(onPassed, ms);
    },
    pause,
    end() {
      ended = true;
      pause();
    },
  };
}

interface RoomOptions extends Pick<Receiver, 'share' | 'stop' | 'responseMs'> {
  readonly deadline: Deadline;
  readonly giveUp: (error: Error) => void;
}

/** The room of one answer. It is not received while it waits for more, and the vendor is not to blame for that time. */
function createRoom({ share, stop, responseMs, deadline, giveUp }: RoomOptions) {
  let size = 0;
  return {
    size: () => size,
    make(from: Dispatcher.DispatchController, bytes: number): void {
      size = bytes;
      const waiting = share?.take(bytes, stop);
      if (waiting === undefined) return;
      from.pause();
      deadline.pause();
      waiting.then(() => {
        deadline.set(responseMs);
        from.resume();
      }, giveUp);
    },
  };
}

function tooLong(bytes: number): ResponseTooLongError {
  return new ResponseTooLongError(`the answer is longer than ${bytes} bytes`);
}
