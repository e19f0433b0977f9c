import { z } from 'zod';
import type { AccountSource } from '../../db/source-rows.ts';
import type { AppConfig, ConfigSource } from './app-config.ts';
import { regionOrigins } from './endpoints.ts';
import { freshFiles } from './fresh-files.ts';
import { asWeUseIt, problemOfPostgresUrl } from './postgres-url.ts';
import { readFailure } from './read-failure.ts';
import {
  admin,
  appIdSays,
  defaultCallsPerSecond,
  origin,
  postgresUrl,
  rateSays,
  region,
  secret,
} from './values.ts';

/** One entry of `TIM_APPS_FILE`, a JSON array of these. */
const appEntry = z
  .strictObject({
    sdkAppId: z.number(appIdSays).int(appIdSays).positive(appIdSays),
    secretKey: secret.optional(),
    secretKeyFile: z.string().optional(),
    admin: admin.default('administrator'),
    region: region.default('cn'),
    endpoint: origin.optional(),
    callsPerSecond: z
      .number(rateSays)
      .int(rateSays)
      .min(1, rateSays)
      .max(199, rateSays)
      .default(defaultCallsPerSecond),
    accountsSourceUrl: postgresUrl.optional(),
    accountsSourceUrlFile: z.string().optional(),
    accountsQuery: secret.optional(),
  })
  .refine((entry) => (entry.secretKey === undefined) !== (entry.secretKeyFile === undefined), {
    message: 'needs either secretKey or secretKeyFile',
  })
  .refine((entry) => entry.accountsSourceUrl === undefined || entry.accountsSourceUrlFile === undefined, {
    message: 'has both accountsSourceUrl and accountsSourceUrlFile; keep one of them',
  });
type AppEntry = z.infer<typeof appEntry>;

/** The apps that `TIM_APPS_FILE` lists; what is wrong with it goes to `problems`. */
export function readAppsFile(
  path: string,
  sharedSourceUrl: string | undefined,
  source: ConfigSource,
  problems: string[],
): AppConfig[] {
  let json: unknown;
  try {
    // Editors on Windows begin a file with a byte order mark.
    json = JSON.parse(source.readFile(path).replace(/^\uFEFF/, ''));
  } catch (error) {
    // A JSON syntax error quotes the text it fell over, which may be a key.
    const why = error instanceof SyntaxError ? 'it is not JSON' : readFailure(error);
    problems.push(`TIM_APPS_FILE can’t be read (${why}).`);
    return [];
  }
  const entries = z.array(appEntry).min(1, 'holds no app').safeParse(json);
  if (!entries.success) {
    for (const issue of entries.error.issues) {
      const where = issue.path.length === 0 ? '' : ` entry ${issue.path.join('.')}`;
      problems.push(`TIM_APPS_FILE${where} ${issue.message}.`);
    }
    return [];
  }
  const ids = entries.data.map((entry) => entry.sdkAppId);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) problems.push(`TIM_APPS_FILE names app ${twice} twice.`);
  return entries.data.map((entry) => ({
    appId: entry.sdkAppId,
    secretKey: entry.secretKey ?? readSecret('secretKeyFile', entry, source, problems),
    admin: entry.admin,
    origin: entry.endpoint ?? regionOrigins[entry.region],
    callsPerSecond: entry.callsPerSecond,
    accountSource: readAccountSource(entry, sharedSourceUrl, source, problems),
  }));
}

function readSecret(
  field: 'secretKeyFile' | 'accountsSourceUrlFile',
  entry: AppEntry,
  source: ConfigSource,
  problems: string[],
) {
  try {
    const read = () => source.readFile(entry[field] ?? '');
    const text = read().trim();
    const value = field === 'accountsSourceUrlFile' ? asWeUseIt(text) : text;
    freshFiles.remember(value, `${field} of app ${entry.sdkAppId}`, read);
    return value;
  } catch (error) {
    problems.push(
      `TIM_APPS_FILE: the ${field} of app ${entry.sdkAppId} can’t be read (${readFailure(error)}).`,
    );
    return undefined;
  }
}

/** An app's own source: its query, on a database of its own or on the one that all share. */
function readAccountSource(
  entry: AppEntry,
  sharedUrl: string | undefined,
  source: ConfigSource,
  problems: string[],
): AccountSource | undefined {
  const ofApp = (sentence: string) => void problems.push(`TIM_APPS_FILE: app ${entry.sdkAppId} ${sentence}.`);
  const own =
    entry.accountsSourceUrlFile === undefined
      ? entry.accountsSourceUrl
      : readSecret('accountsSourceUrlFile', entry, source, problems);
  if (entry.accountsSourceUrlFile !== undefined && own === undefined) return undefined;
  const problem = own === undefined ? undefined : problemOfPostgresUrl(own);
  if (problem !== undefined) ofApp(`accountsSourceUrlFile ${problem}`);
  if (own !== undefined && entry.accountsQuery === undefined)
    ofApp('has accountsSourceUrl without accountsQuery; give the select that names its accounts');
  const url = own ?? sharedUrl;
  if (entry.accountsQuery !== undefined && url === undefined)
    ofApp(
      'has accountsQuery, but neither accountsSourceUrl nor ACCOUNTS_SOURCE_URL says which Postgres to ask',
    );
  return pairOf(url, entry.accountsQuery);
}

/** A source of accounts, where both of its halves are known. */
export function pairOf(url: string | undefined, query: string | undefined): AccountSource | undefined {
  return url === undefined || query === undefined ? undefined : { url, query };
}
