import { Writable } from 'node:stream';

/** A destination for a logger that keeps what was written. */
export interface CollectedLog {
  readonly destination: Writable;
  readonly text: () => string;
}

export function collectLog(): CollectedLog {
  let text = '';
  const destination = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  return { destination, text: () => text };
}
