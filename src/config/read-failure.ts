/** Why a file can’t be read, for a sentence. */
export function readFailure(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'it can’t be opened';
}
