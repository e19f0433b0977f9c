import { printableJson } from './printable.ts';

/** A value as one line of JSON, or indented, that may be written to a terminal. */
export function jsonText(value: unknown, indent?: number): string {
  return printableJson(JSON.stringify(value, null, indent));
}
