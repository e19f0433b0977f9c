import { readFileSync } from 'node:fs';

/** A document of the repository. */
export function readDocument(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/** The text of each fenced block of a language, in order, without the indent of the list that it is in. */
export function blocksOf(markdown: string, language: string): readonly string[] {
  return [...markdown.matchAll(/^( *)```(\w+)\n(.*?)^\1```$/gms)].flatMap(([, indent, its, text = '']) =>
    its === language ? [text.replace(new RegExp(`^${indent}`, 'gm'), '')] : [],
  );
}

/** The SQL block whose first line is a comment that begins with a label. */
export function labelledSql(markdown: string, label: string): string {
  const block = blocksOf(markdown, 'sql').find((text) => text.startsWith(`-- ${label}`));
  if (block === undefined) throw new Error(`no SQL block “${label}”`);
  return block;
}
