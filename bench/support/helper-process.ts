import { type ChildProcess, fork } from 'node:child_process';
import { z } from 'zod';

/** A process of a bench that does what it is asked (serve.ts). */
export interface HelperProcess {
  readonly child: ChildProcess;
  /** Resolves with what the order gives, checked against `schema`. */
  ask<T>(schema: z.ZodType<T>, order: string, value?: unknown): Promise<T>;
  /** The same for an order that gives nothing. */
  send(order: string, value?: unknown): Promise<void>;
  usage(): Promise<Usage>;
  /** Ends the process at once. */
  end(): Promise<void>;
}

const usageSchema = z.object({ cpuMs: z.number(), rssMb: z.number(), maxRssMb: z.number() });
/** Processor time since its start, memory now, and the most it ever was. */
export type Usage = z.infer<typeof usageSchema>;

const reply = z.object({ id: z.number(), result: z.unknown().optional(), failure: z.string().optional() });

interface Asked {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Starts a module that serves orders. `execArgv` is for its Node, for instance to profile it. */
export function startHelper(module: URL, execArgv: readonly string[] = []): HelperProcess {
  const child = fork(module, { execArgv: [...execArgv], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const asked = new Map<number, Asked>();
  let next = 1;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.on('message', (message) => {
    const { id, result, failure } = reply.parse(message);
    const waiting = asked.get(id);
    asked.delete(id);
    if (failure === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(failure));
  });
  void exited.then(() => {
    for (const { reject } of asked.values()) reject(new Error('a process of the bench has ended'));
  });

  function order(name: string, value: unknown): Promise<unknown> {
    const id = next;
    next += 1;
    return new Promise((resolve, reject) => {
      asked.set(id, { resolve, reject });
      child.send({ id, order: name, value }, (error) => {
        if (error) reject(error);
      });
    });
  }

  return {
    child,
    ask: async (schema, name, value) => schema.parse(await order(name, value)),
    send: async (name, value) => {
      await order(name, value);
    },
    usage: async () => usageSchema.parse(await order('usage', undefined)),
    async end() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    },
  };
}
