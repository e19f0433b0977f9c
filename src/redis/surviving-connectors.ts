import { connect as connectPlain, type NetConnectOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { AbstractConnector, type Redis, type RedisOptions, SentinelConnector } from 'ioredis';

type SentinelOptions = ConstructorParameters<typeof SentinelConnector>[0];
/** ioredis makes connectors itself, with the options of the client, and leaves their type open. */
type Given = unknown;

/**
 * A connection whose TLS handshake fails emits two errors: that the certificate is not trusted, and the alert of the
 * other side. ioredis listens for one, and the second would end the process.
 */
function surviveErrors<S extends Pick<Socket, 'on'>>(stream: S): S {
  stream.on('error', () => undefined);
  return stream;
}

/** A connection to a server. ioredis reports its first error where the connection has ended already. */
export function connectTo(
  place: NetConnectOpts,
  tls: ConnectionOptions | undefined,
  onFirstError: (error: Error) => void,
): Socket {
  const stream = surviveErrors(tls === undefined ? connectPlain(place) : connectTls({ ...place, ...tls }));
  stream.once('error', onFirstError);
  return stream;
}

/** How a connection finds a single server. */
export class SurvivingStandaloneConnector extends AbstractConnector {
  readonly #options: RedisOptions;

  constructor(options: Given) {
    super((options as RedisOptions).disconnectTimeout ?? 2000);
    this.#options = options as RedisOptions;
  }

  async connect() {
    this.connecting = true;
    // ioredis listens to the connection when this has returned.
    await Promise.resolve();
    if (!this.connecting) throw new Error('Connection is closed.');
    const { host, port, family, path, tls } = this.#options;
    const place = path ? { path } : { host, port: port ?? 6379, family };
    this.stream = connectTo(place as NetConnectOpts, tls, (error) => {
      this.firstError = error;
    });
    return this.stream;
  }
}

/**
 * How a connection finds a master by sentinels, whose own connections survive too. ioredis says that no sentinel can be
 * reached, and drops why; it becomes the cause of that error.
 */
export class SurvivingSentinelConnector extends SentinelConnector {
  #lastError: Error | undefined;

  constructor(options: Given) {
    super(options as SentinelOptions);
    const connectToSentinel: (endpoint: unknown, more: object) => Pick<Redis, 'on'> = Reflect.get(
      this,
      'connectToSentinel',
    );
    Reflect.set(this, 'connectToSentinel', (endpoint: unknown, more: object = {}) =>
      connectToSentinel
        .call(this, endpoint, { ...more, Connector: SurvivingStandaloneConnector })
        .on('error', (error: Error) => {
          this.#lastError = error;
        }),
    );
  }

  override async connect(emit: Parameters<SentinelConnector['connect']>[0]) {
    const emitWithCause: typeof emit = (type, error) => {
      if (type === 'error') error.cause ??= this.#lastError;
      emit(type, error);
    };
    return surviveErrors(await super.connect(emitWithCause));
  }
}
