// Line and paragraph ends, what moves a terminal's cursor, and what turns the direction of writing. The joiners that
// hold an emoji together stay.
const unprintable = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A name as it may be written to a terminal: what would act on the terminal is told as `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
