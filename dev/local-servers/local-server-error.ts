/** A local server can't be started. The message is for the person at the terminal. */
export class LocalServerError extends Error {
  override readonly name = 'LocalServerError';
}
