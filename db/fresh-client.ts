import pg from 'pg';

let freshUrl: (url: string) => string = (url) => url;

/** From now on new connections take user and password from what `source` says of their URL. */
export function takeLoginsFrom(source: (url: string) => string): void {
  freshUrl = source;
}

/** A connection whose user and password are as new as itself; a password may change while a daemon runs. */
export class FreshClient extends pg.Client {
  constructor(config: pg.ClientConfig = {}) {
    const { connectionString: url } = config;
    super(url === undefined ? config : { ...config, connectionString: withLogin(url, freshUrl(url)) });
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
