/** SQLSTATE classes that speak of what was to be stored, and would say the same again: data, integrity, limits, text. */
const aboutTheData = new Set(['21', '22', '23', '42', '54']);

/** Whether an error says that the database could not be reached or is restarting, and nothing about what was asked. */
export function isPassing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return !/^[0-9A-Z]{5}$/.test(code) || !aboutTheData.has(code.slice(0, 2));
}
