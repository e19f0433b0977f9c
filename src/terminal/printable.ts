// What moves a terminal's cursor or gives it orders, line and paragraph ends, and what turns the direction of writing.
// The joiners that hold an emoji together stay.
const orders = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

const codeOf = (character: string) => (character.codePointAt(0) ?? 0).toString(16);

/** A name as it may be written to a terminal: what would act on the terminal is shown as `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(orders, (character) => `\\u{${codeOf(character)}}`);
}

/** A text of several lines as it may be written to a terminal. */
export function printableLines(text: string): string {
  return text.replace(orders, (character) => (character === '\n' ? character : `\\u{${codeOf(character)}}`));
}

/** JSON as it may be written to a terminal, with the same meaning: JSON itself escapes only what is below U+0020. */
export function printableJson(json: string): string {
  return json.replace(orders, (character) =>
    character === '\n' ? character : `\\u${codeOf(character).padStart(4, '0')}`,
  );
}
