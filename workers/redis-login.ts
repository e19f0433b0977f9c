import type { RedisCluster, RedisSentinels } from '../src/redis-servers.ts';

/** User, password and TLS, as the client is told of them. */
export function loginOf(servers: RedisCluster | RedisSentinels) {
  return {
    ...(servers.username === undefined ? {} : { username: servers.username }),
    ...(servers.password === undefined ? {} : { password: servers.password }),
    ...(servers.tls ? { tls: {} } : {}),
  };
}
