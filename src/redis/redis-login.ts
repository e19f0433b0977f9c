import type { RedisOptions } from 'ioredis';
import { freshFiles } from '../config/fresh-files.ts';
import { type RedisCluster, type RedisServers, withLoginOf } from '../config/redis-servers.ts';

/** The servers with the user and password that REDIS_URL_FILE holds now. */
export function withFreshLogin<Servers extends RedisServers>(servers: Servers): Servers {
  return withLoginOf(servers, freshFiles.fresh(servers.url));
}

/** User and password as a connection's options hold them, for its next attempt. */
export function freshLogin(
  servers: RedisServers,
): Pick<RedisOptions, 'username' | 'password' | 'sentinelPassword'> {
  const fresh = withFreshLogin(servers);
  if (fresh.kind === 'single') {
    const { username, password } = new URL(fresh.url);
    return loginOf({
      tls: false,
      username: decodeURIComponent(username) || undefined,
      password: decodeURIComponent(password) || undefined,
    });
  }
  const sentinelPassword = fresh.kind === 'sentinel' ? fresh.sentinelPassword : undefined;
  return {
    ...loginOf({ ...fresh, tls: false }),
    ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
  };
}

/** User, password and TLS, as the client's options hold them. */
export function loginOf(servers: Pick<RedisCluster, 'tls' | 'username' | 'password'>) {
  return {
    ...(servers.username === undefined ? {} : { username: servers.username }),
    ...(servers.password === undefined ? {} : { password: servers.password }),
    ...(servers.tls ? { tls: {} } : {}),
  };
}
