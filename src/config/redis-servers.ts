import { passwordsIn } from './url-passwords.ts';

/** Where Redis is: one server, the nodes of a cluster, or sentinels that know who the master is. */
export type RedisServers = SingleRedis | RedisCluster | RedisSentinels;

interface SingleRedis {
  readonly kind: 'single';
  /** `redis://` or `rediss://`. */
  readonly url: string;
}

export interface RedisCluster extends Login {
  readonly kind: 'cluster';
  /** Some of the nodes; they know the others. */
  readonly nodes: readonly Endpoint[];
}

interface RedisSentinels extends Login {
  readonly kind: 'sentinel';
  readonly sentinels: readonly Endpoint[];
  /** The master's name, as the sentinels know it. */
  readonly name: string;
  /** Of the sentinels themselves. */
  readonly sentinelPassword: string | undefined;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

interface Login {
  /** As it was given; a secret. */
  readonly url: string;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

const kinds = {
  'redis:': { kind: 'single', tls: false },
  'rediss:': { kind: 'single', tls: true },
  'redis+cluster:': { kind: 'cluster', tls: false },
  'rediss+cluster:': { kind: 'cluster', tls: true },
  'redis+sentinel:': { kind: 'sentinel', tls: false },
  'rediss+sentinel:': { kind: 'sentinel', tls: true },
} as const;

const redisPort = 6379;
const sentinelPort = 26379;

/**
 * Reads `REDIS_URL`: `redis://host`, `redis+cluster://host1:6379,host2:6379` or
 * `redis+sentinel://host1:26379,host2:26379/master-name`, each with `rediss` for TLS. Returns a sentence about what is
 * wrong, which shows nothing of the text.
 */
export function parseRedisServers(text: string): RedisServers | string {
  const found = split(text);
  if (found === undefined)
    return 'must be a URL such as redis://host:6379, redis+cluster://host1:6379,host2:6379 or redis+sentinel://host1:26379,host2:26379/master-name';
  const { kind, tls } = found;
  if (kind === 'single') {
    if (found.hosts.includes(','))
      return 'names several hosts; write redis+cluster:// for the nodes of a Redis Cluster, redis+sentinel:// for sentinels';
    return /^\d*$/.test(found.path)
      ? { kind, url: text }
      : 'names a database that is no number behind its host; write redis://host:6379/0, or leave it out';
  }
  const endpoints = parseEndpoints(found.hosts, kind === 'cluster' ? redisPort : sentinelPort);
  if (endpoints === undefined) return 'must name hosts as host1:port,host2:port';
  const login = { url: text, tls, username: found.username, password: found.password };
  if (kind === 'cluster') {
    return found.path === ''
      ? { kind, nodes: endpoints, ...login }
      : 'names a database behind its hosts, and a Redis Cluster has only one; leave it out';
  }
  if (found.path === '' || found.path.includes('/'))
    return 'must name the master behind the sentinels, as redis+sentinel://host1:26379,host2:26379/master-name';
  return {
    kind,
    sentinels: endpoints,
    name: found.path,
    sentinelPassword: found.query.get('sentinelPassword') ?? undefined,
    ...login,
  };
}

/**
 * The hash tag of an app's keys, or of those that belong to no app: all keys of one tag lie on one node of a Redis
 * Cluster.
 */
export function redisTag(appId: number | undefined): string {
  return appId === undefined ? '{tim}' : `{tim:${appId}}`;
}

/** The same servers with the login that `url` has now, where it still names such servers. */
export function withLoginOf<Servers extends RedisServers>(servers: Servers, url: string): Servers {
  const fresh = url === servers.url ? servers : parseRedisServers(url);
  if (typeof fresh === 'string' || fresh.kind !== servers.kind) return servers;
  if (fresh.kind === 'single') return { ...servers, url: atPlaceOf(servers.url, fresh.url) };
  const { username, password } = fresh;
  const sentinelPassword = fresh.kind === 'sentinel' ? { sentinelPassword: fresh.sentinelPassword } : {};
  return { ...servers, username, password, ...sentinelPassword };
}

function atPlaceOf(url: string, login: string): string {
  const [place, { username, password }] = [new URL(url), new URL(login)];
  return Object.assign(place, { username, password }).href;
}

/** The passwords in it. */
export function redisPasswords(servers: RedisServers): readonly string[] {
  if (servers.kind === 'single') return passwordsIn(servers.url);
  const passwords = [servers.password, servers.kind === 'sentinel' ? servers.sentinelPassword : undefined];
  return passwords.flatMap((password = '') => [password, encodeURIComponent(password)]);
}

/** The parts of a URL that may name several hosts, which `URL` does not take. */
function split(text: string) {
  const match = /^([a-z+]+:)\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(text);
  const [, protocol = '', login = '', hosts = '', path = '', query = ''] = match ?? [];
  const known = Object.entries(kinds).find(([name]) => name === protocol)?.[1];
  if (known === undefined || (known.kind === 'single' && URL.parse(text) === null)) return undefined;
  const colon = login.indexOf(':');
  const [username, password] = colon < 0 ? [login, ''] : [login.slice(0, colon), login.slice(colon + 1)];
  try {
    return {
      ...known,
      hosts,
      username: decodeURIComponent(username) || undefined,
      password: decodeURIComponent(password) || undefined,
      path: decodeURIComponent(path),
      query: new URLSearchParams(query),
    };
  } catch {
    // A per cent sign that begins no escape.
    return undefined;
  }
}

function parseEndpoints(text: string, defaultPort: number): readonly Endpoint[] | undefined {
  const endpoints = text.split(',').map((part) => {
    const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)(?::(\d{1,5}))?$/.exec(part);
    const port = Number(match?.[2] ?? defaultPort);
    const host = match?.[1]?.replace(/^\[(.*)\]$/, '$1');
    return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
  });
  const good = endpoints.filter((endpoint) => endpoint !== undefined);
  return good.length === endpoints.length ? good : undefined;
}
