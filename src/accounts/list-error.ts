/** A list of accounts that can't be taken as it is. The message is one sentence that says what to change. */
export class ListError extends Error {
  override readonly name = 'ListError';
}
