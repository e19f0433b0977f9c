/** The vendor's bound on a UserID. */
const maxBytes = 32;

/** Why a text can't be a UserID of the vendor's; undefined when it can. */
export function accountIdProblem(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (text !== text.trim()) return 'begins or ends with a blank';
  if (!/^[\x20-\x7e]+$/.test(text)) return 'has characters other than printable ASCII';
  if (text.length > maxBytes) return `is longer than ${maxBytes} characters`;
  return undefined;
}
