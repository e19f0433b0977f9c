import pg from 'pg';
import { encrypt, noteRefusal, prefersTls, takesTls, unverifiedTls } from './tls-preference.ts';

let freshUrl: (url: string) => string = (url) => url;

/** From now on new connections take user and password from what `source` says of their URL. */
export function takeLoginsFrom(source: (url: string) => string): void {
  freshUrl = source;
}

/**
 * A connection whose user and password are as new as itself; a password may change while a daemon runs. Where its URL
 * says nothing of TLS, it is encrypted if the server encrypts. Over a socket of this machine it never is, whatever the
 * URL says; libpq holds it so.
 */
export class FreshClient extends pg.Client {
  readonly #config: pg.ClientConfig;
  readonly #asksServer: boolean;
  #broken: Error | undefined;

  constructor(config: pg.ClientConfig = {}) {
    const { connectionString: url } = config;
    const fresh = url === undefined ? config : { ...config, connectionString: withLogin(url, freshUrl(url)) };
    super(fresh);
    this.#config = fresh;
    // The server may end the connection in the same breath in which it accepts it, before any other code can listen.
    this.on('error', (error) => {
      this.#broken = error;
    });
    const isSocket = this.host.startsWith('/');
    this.#asksServer = url !== undefined && !isSocket && prefersTls(this, url);
    if (isSocket) encrypt(this, false);
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: ((error: Error) => void) | ((error: null, client: pg.Client) => void)): void;
  override connect(callback?: unknown): Promise<pg.Client> | undefined {
    const connected = this.#connect();
    if (typeof callback !== 'function') return connected;
    connected.then(
      () => callback(null, this),
      (error: unknown) => callback(error),
    );
    return undefined;
  }

  async #connect(): Promise<this> {
    if (this.#asksServer) encrypt(this, (await takesTls(this, this.#config)) && unverifiedTls);
    if (Reflect.get(this, '_ending')) throw new Error('Connection terminated');
    try {
      await super.connect();
      if (this.#broken !== undefined) throw this.#broken;
      return this;
    } catch (error) {
      if (this.#asksServer) noteRefusal(this, error);
      throw error;
    }
  }
}

/** Where `url` points to, with the user and password of `fresh`: a database does not change under a running daemon. */
function withLogin(url: string, fresh: string): string {
  const [place, login] = [URL.parse(url), URL.parse(fresh)];
  if (url === fresh || place === null || login === null) return url;
  place.username = login.username;
  place.password = login.password;
  for (const name of ['user', 'password']) {
    const value = login.searchParams.get(name);
    if (value === null) place.searchParams.delete(name);
    else place.searchParams.set(name, value);
  }
  return place.href;
}
