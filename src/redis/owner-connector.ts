import { setTimeout as sleep } from 'node:timers/promises';
import { AbstractConnector } from 'ioredis';
import type { Endpoint } from '../config/redis-servers.ts';
import { connectTo } from './surviving-connectors.ts';

type ErrorEmitter = (type: string, error: Error) => void;

const disconnectTimeoutMs = 2000;
const lookAgainMs = 250;

/**
 * How a connection of ioredis finds its server: each time it connects, it asks where to. ioredis wants a class, which it
 * makes itself.
 */
export function connectorTo(find: () => Promise<Endpoint>, tls: boolean) {
  return class OwnerConnector extends AbstractConnector {
    constructor() {
      super(disconnectTimeoutMs);
    }

    /** Looks until it finds, for a connector that fails is not asked again. */
    async connect(emit: ErrorEmitter) {
      this.connecting = true;
      while (this.connecting) {
        const endpoint = await find().catch((error: Error) => {
          emit('error', error);
        });
        if (endpoint !== undefined && this.connecting) {
          this.stream = connectTo(endpoint, tls ? { servername: endpoint.host } : undefined, (error) => {
            this.firstError = error;
          });
          return this.stream;
        }
        await sleep(lookAgainMs);
      }
      throw new Error('Connection is closed.');
    }
  };
}
