/** Takes secrets out of text that leaves the process: log lines, error messages, answers quoted from the vendor. */
export interface Scrubber {
  /** From now on `secret` is removed wherever it appears. */
  add(secret: string): void;
  /** The same for a secret that others replace: the last 32 are known. */
  addPassing(secret: string): void;
  scrub(text: string): string;
  /** Scrubs the values of a JSON text that are strings: keys, numbers and structure stay. */
  scrubJson(json: string): string;
}

const placeholder = '[removed]';
/** Shorter ones would be found in everything. */
const shortest = 4;
const mostPassing = 32;
// Belt and braces: also a signature that this process has never seen, such as another replica's.
const signatureInUrl = /usersig=[^&\s"'\\]+/gi;
// A vendor's page that echoes the query may carry it in pieces; every UserSig starts as zlib data in base64.
const looseSignature = /eJ[A-Za-z0-9*_+/=-]{60,}/g;
/** A text of JSON, with the colon that makes a key of it. */
const jsonText = /"(?:[^"\\]|\\.)*"(\s*:)?/g;

/**
 * Whether a secret may occur in ordinary text by chance: letters only such as `postgres`, a number, or fewer than
 * six characters. Such a word gives nothing away, so it is removed only where it is given as a password; removed
 * everywhere, it would take names and numbers with it.
 */
export function isCommonText(secret: string): boolean {
  return secret.length < 6 || /^[a-z_]{1,19}$/i.test(secret) || /^\d{1,11}$/.test(secret);
}

/** A scrubber that knows `secrets` from the start. Secrets shorter than 4 characters are ignored. */
export function createScrubber(secrets: readonly string[] = []): Scrubber {
  const rare = new Set<string>();
  const common = new Map<string, RegExp>();
  const passing = new Set<string>();

  function add(secret: string): void {
    if (secret.length < shortest) return;
    if (isCommonText(secret)) common.set(secret, asPassword(secret));
    else for (const form of formsOf(secret)) rare.add(form);
  }

  function removeKnown(text: string): string {
    let clean = text;
    for (const secret of [...rare, ...passing])
      if (clean.includes(secret)) clean = clean.replaceAll(secret, placeholder);
    for (const [secret, given] of common)
      if (clean.includes(secret)) clean = clean.replace(given, `$<before>${placeholder}`);
    return clean;
  }

  const scrub = (text: string) =>
    removeKnown(text).replace(signatureInUrl, `usersig=${placeholder}`).replace(looseSignature, placeholder);

  for (const secret of secrets) add(secret);

  return {
    add,
    addPassing(secret) {
      for (const form of formsOf(secret)) passing.add(form);
      for (const oldest of passing) {
        if (passing.size <= mostPassing) break;
        passing.delete(oldest);
      }
    },
    scrub,
    scrubJson: (json) =>
      // Most lines hold no secret, and one look at the whole is cheaper than one at each text.
      scrub(json) === json
        ? json
        : json.replace(jsonText, (text, colon?: string) => (colon === undefined ? scrub(text) : text)),
  };
}

/** As it is, in a URL, and in JSON. */
function formsOf(secret: string): ReadonlySet<string> {
  return new Set([secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]);
}

/** The secret where it is given as one: in a URL, or after a word such as `password`. */
function asPassword(secret: string): RegExp {
  const escaped = secret.replace(
    /[^\w]/g,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  const named = String.raw`\b(?:password|passwd|pwd|pass|secret|token|auth|key)\b["'\\]*\s*[=:]?\s*["'\\]*`;
  return new RegExp(`(?<before>://[^\\s/@]*:|${named})${escaped}(?![\\w])`, 'giu');
}
