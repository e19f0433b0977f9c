import type { RedisOptions } from 'ioredis';
import { freshFiles } from '../src/config/fresh-files.ts';
import {
  type RedisCluster,
  type RedisSentinels,
  type RedisServers,
  withLoginOf,
} from '../src/redis-servers.ts';

/** The servers with the user and password that REDIS_URL_FILE holds now. */
export function withFreshLogin<Servers extends RedisServers>(servers: Servers): Servers {
  return withLoginOf(servers, freshFiles.fresh(servers.url));
}

/** User and password as a connection's options hold them, for its next attempt. */
export function freshLogin(
  servers: RedisServers,
): Pick<RedisOptions, 'username' | 'password' | 'sentinelPassword'> {
  const fresh = withFreshLogin(servers);
  if (fresh.kind !== 'single')
    return {
      ...defined('username', fresh.username),
      ...defined('password', fresh.password),
      ...defined('sentinelPassword', fresh.kind === 'sentinel' ? fresh.sentinelPassword : undefined),
    };
  const { username, password } = new URL(fresh.url);
  return {
    ...defined('username', decodeURIComponent(username)),
    ...defined('password', decodeURIComponent(password)),
  };
}

function defined<Name extends string>(name: Name, value: string | undefined): Partial<Record<Name, string>> {
  return value === undefined || value === '' ? {} : ({ [name]: value } as Record<Name, string>);
}

/** User, password and TLS, as the client is told of them. */
export function loginOf(servers: RedisCluster | RedisSentinels) {
  return {
    ...(servers.username === undefined ? {} : { username: servers.username }),
    ...(servers.password === undefined ? {} : { password: servers.password }),
    ...(servers.tls ? { tls: {} } : {}),
  };
}
