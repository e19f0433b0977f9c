import { findSourceRisk } from '../db/source-rights.ts';
import type { CallingAppConfig } from '../src/config/app-config.ts';
import { type Config, commonSecrets } from '../src/config/config.ts';
import { isLoopback } from '../src/config/loopback.ts';
import { hostOfPostgresUrl } from '../src/config/postgres-url.ts';
import type { Logger } from '../src/log.ts';
import { neededOpenFiles, openFilesLimit } from '../src/open-files.ts';
import type { SourcedAppConfig } from './accounts-worker.ts';

/** Says in the log what of the configuration or the machine an operator would want to change. */
export function warnAtStart(config: Config, apps: readonly CallingAppConfig[], log: Logger): void {
  warnOfCommonSecrets(config, log);
  warnOfPlainHttp(apps, log);
  warnOfFewFiles(log);
}

/** Says which sources of accounts are read by a role that may do more than read. Apps share a source: each is asked once. */
export function warnOfSourceRisks(apps: readonly SourcedAppConfig[], signal: AbortSignal, log: Logger): void {
  for (const [url, sharing] of Map.groupBy(apps, ({ accountSource }) => accountSource.url))
    void findSourceRisk(url, signal).then((risk) => {
      if (risk !== undefined) for (const { appId } of sharing) log.warn({ app: appId }, risk);
    });
}

/** What the first log line says of the configuration; no part of it is secret. */
export function describeConfig({ apps, databaseUrl = '', redis, poll }: Config) {
  const database = URL.parse(databaseUrl);
  return {
    apps: apps.map((app) => app.appId),
    callsPerSecond: apps.map((app) => app.callsPerSecond),
    databaseHost: hostOfPostgresUrl(databaseUrl),
    databaseName: decodeURIComponent(database?.pathname.slice(1) ?? ''),
    redis: redis !== undefined,
    policy: {
      minIntervalSeconds: poll.minIntervalMs / 1000,
      maxIntervalSeconds: poll.maxIntervalMs / 1000,
      fullReadSeconds: poll.fullReadIntervalMs / 1000,
    },
  };
}

function warnOfCommonSecrets(config: Config, log: Logger): void {
  const variables = commonSecrets(config);
  if (variables.length === 0) return;
  log.warn(
    { variables },
    'a secret is short, a number or a plain word: it is easily guessed, and it is kept out of logs and pages only where it is given as a password; use a longer one with letters and digits',
  );
}

/** The UserSig is in the URL: an eavesdropper on the way may do with the app what we may. */
function warnOfPlainHttp(apps: readonly CallingAppConfig[], log: Logger): void {
  for (const { appId, origin } of apps) {
    const { protocol, hostname } = new URL(origin);
    if (protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) continue;
    log.warn(
      { app: appId, host: hostname },
      'TIM_ENDPOINT is http://: the signature of the app and the friends of its users travel unencrypted; use https://',
    );
  }
}

function warnOfFewFiles(log: Logger): void {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= neededOpenFiles) return;
  log.warn(
    { limit, needed: neededOpenFiles },
    'the process may open too few files: calls fail with EMFILE while the vendor is slow; raise the limit (ulimit -n, LimitNOFILE)',
  );
}
