import { InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../src/config/values.ts';

/** Headings of `--help`, in its order. */
export const helpGroups = {
  begin: 'To begin with:',
  run: 'To run the mirror:',
  look: 'To read the mirror:',
  check: 'To ask the vendor:',
  try: 'To plan and to try out:',
} as const;

/** Loads what a command works with only when it is called: help and mistakes are answered at once. */
export function lazily<T extends unknown[]>(load: () => Promise<(...args: T) => Promise<void>>) {
  return async (...args: T): Promise<void> => {
    const command = await load();
    await command(...args);
  };
}

/** The end of a command’s help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}

/** Which app is meant. */
export function appOption(): Option {
  return new Option('--app <id>', 'SDKAppID, where several apps are configured').argParser(
    parseWhole('an SDKAppID', 1),
  );
}

/** Reads a whole number. */
export function parseWhole(what: string, min: number, max = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(
        `It must be ${what}, a whole number from ${min}${max < 2 ** 53 - 1 ? ` to ${max}` : ''}.`,
      );
    }
    return value;
  };
}

/** Reads a number. */
export function parseNumber(what: string, min: number, max: number) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be ${what} from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Reads a duration, in milliseconds. */
export function parseTime(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write it as 90s, 15m or 1h.');
  return ms;
}
