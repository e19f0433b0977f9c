/** Takes secrets out of text that leaves the process: log lines, error messages, answers quoted from the vendor. */
export interface Scrubber {
  /** From now on `secret` is removed wherever it appears. */
  add(secret: string): void;
  scrub(text: string): string;
}

const placeholder = '[removed]';
// Belt and braces: also a signature that this process has never seen, such as another replica's.
const signatureInUrl = /usersig=[^&\s"'\\]+/gi;
// A vendor's page that echoes the query may carry it in pieces; every UserSig starts as zlib data in base64.
const looseSignature = /eJ[A-Za-z0-9*_+/=-]{60,}/g;

/** A scrubber that knows `secrets` from the start. Secrets shorter than 4 characters are ignored. */
export function createScrubber(secrets: readonly string[] = []): Scrubber {
  const known = new Set<string>();

  function add(secret: string): void {
    if (secret.length < 4) return;
    known.add(secret);
    known.add(encodeURIComponent(secret));
    known.add(JSON.stringify(secret).slice(1, -1));
  }

  for (const secret of secrets) add(secret);

  return {
    add,
    scrub(text) {
      let clean = text;
      for (const secret of known) if (clean.includes(secret)) clean = clean.replaceAll(secret, placeholder);
      return clean.replace(signatureInUrl, `usersig=${placeholder}`).replace(looseSignature, placeholder);
    },
  };
}
