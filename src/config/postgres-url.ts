import { accessSync, constants } from 'node:fs';

const form = 'must be a URL such as postgres://user@host:5432/database';
const url = /^(postgres(?:ql)?:\/\/)(?:([^/?#]*)@)?([^@/?#]*)(\/[^?#]*)?(\?[^#]*)?$/;
/** Modes of libpq that the driver reads as `verify-full` without `uselibpqcompat=true`. */
const libpqModes: ReadonlySet<string> = new Set(['prefer', 'require', 'verify-ca']);
const modes: ReadonlySet<string> = new Set(['disable', 'verify-full', ...libpqModes]);

/** What is wrong with the URL of a Postgres, as the rest of a sentence that shows nothing of it; undefined for nothing. */
export function problemOfPostgresUrl(text: string): string | undefined {
  const [, , , hosts = ''] = url.exec(text) ?? [];
  if (hosts.includes(',') || parametersOf(text)?.get('host')?.includes(','))
    return 'names several hosts, and one is needed that always leads to the primary: a service’s name, a pooler or a proxy';
  const parameters = parametersOf(text);
  if (parameters === undefined || URL.parse(asWeUseIt(text)) === null) return form;
  const mode = parameters.get('sslmode');
  if (mode !== null && !modes.has(mode))
    return `has an sslmode that is not known here; ${[...modes].join(', ')} are`;
  if (mode === 'verify-ca' && !parameters.has('sslrootcert'))
    return 'has sslmode=verify-ca without the CA; add sslrootcert=<file>, or write verify-full';
  for (const name of ['sslrootcert', 'sslcert', 'sslkey']) {
    const file = parameters.get(name);
    if (file !== null && !isReadable(file)) return `has ${name}=${file}, and no such file can be read`;
  }
  return undefined;
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The URL as the driver and `URL` both take it, with the same meaning: libpq lets a host be empty where the parameter
 * `host` names a folder of sockets, and its `sslmode=require` encrypts without checking who answers.
 */
export function asWeUseIt(text: string): string {
  const match = url.exec(text);
  if (match === null) return text;
  const [, scheme = '', login, host = '', path = '', query = ''] = match;
  const parameters = new URLSearchParams(query);
  const asLibpq =
    libpqModes.has(parameters.get('sslmode') ?? '') && !parameters.has('uselibpqcompat')
      ? `${query === '' ? '?' : `${query}&`}uselibpqcompat=true`
      : query;
  return `${scheme}${login === undefined ? '' : `${login}@`}${host || 'localhost'}${path}${asLibpq}`;
}

/** The host that the driver connects to, or the folder of its socket: the parameter `host` comes before the host. */
export function hostOfPostgresUrl(text: string): string {
  const parsed = URL.parse(asWeUseIt(text));
  return parsed?.searchParams.get('host') || decodeURIComponent(parsed?.hostname ?? '');
}

function parametersOf(text: string): URLSearchParams | undefined {
  const match = url.exec(text);
  return match === null ? undefined : new URLSearchParams(match[5]);
}
