import { CommanderError } from 'commander';
import { describeProblem, problemOf } from '../db/database-problem.ts';
import { codeOf } from '../db/storage-errors.ts';
import { ConfigError } from '../src/config/config.ts';
import { isAppRefused, remedyFor, TencentError } from '../src/tencent/errors.ts';
import { printableLines } from '../src/terminal/printable.ts';
import { CommandError } from './command-error.ts';

/** Prints an error as one sentence, never as a stack trace, and returns the exit code. */
export function explainError(error: unknown): number {
  const say = (text: string) => process.stderr.write(`tim-mirror: ${printableLines(text)}\n`);
  if (error instanceof CommanderError) {
    // Commander has said it already.
    return error.exitCode === 0 ? 0 : 2;
  }
  if (error instanceof ConfigError) {
    for (const problem of error.problems) say(problem);
    return 2;
  }
  if (error instanceof CommandError) {
    say(error.message);
    return error.exitCode;
  }
  // Known by name, so that a command loads no more than it works with.
  if (error instanceof Error && errorsForPeople.has(error.name)) {
    say(error.message);
    return 1;
  }
  if (error instanceof TencentError) {
    const remedy = isAppRefused(error) ? ` ${remedyFor(error.kind, error.code)}` : '';
    const what = isVendorCode(error.code)
      ? `The vendor reports error ${error.code} (${error.message}).`
      : `The call failed: ${error.message}.`;
    say(`${what}${remedy}`);
    return 1;
  }
  say(sentenceFor(error));
  return 1;
}

/** The vendor's codes have five digits; others are an HTTP status, whose message names it, or 0. */
function isVendorCode(code: number): boolean {
  return code >= 1000;
}

/** Errors whose message is one sentence for the person at the terminal. */
const errorsForPeople: ReadonlySet<string> = new Set([
  'StartError',
  'SchemaError',
  'SessionSettingsError',
  'LocalServerError',
  'SourceError',
  'ListError',
]);

/** Errors of the layers below, by the code they carry: their messages may quote what was sent. */
function sentenceFor(error: unknown): string {
  const code = codeOf(error);
  if (code === 'EADDRINUSE' || code === 'EACCES') {
    const place =
      error instanceof Error && 'address' in error && 'port' in error
        ? ` ${error.address}:${error.port}`
        : '';
    const why = code === 'EACCES' ? 'may not be opened by this user' : 'is in use';
    return `The port${place} ${why}; choose another (HTTP_PORT, or --port).`;
  }
  const problem = problemOf(error);
  if (problem !== undefined) return describeProblem(problem);
  const message = error instanceof Error ? error.message : String(error);
  return `${message}${code === '' ? '' : ` (${code})`}`;
}
