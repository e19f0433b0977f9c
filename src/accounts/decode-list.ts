import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { codeOf } from '../../db/storage-errors.ts';
import { ListError } from './list-error.ts';

/** This many bytes show how a list is stored: a byte order mark, or the mark of a kind of file. */
const headBytes = 4;

/**
 * The text of a list as it streams by: UTF-8, or UTF-16 with or without its byte order mark, plain or in gzip. Throws
 * ListError where it is no text; errors of the input go through.
 */
export async function* decodeList(input: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const { head, all } = await readHead(input);
  if (startsWith(head, [0x1f, 0x8b])) yield* decodeText(await readHead(unzip(all)));
  else yield* decodeText({ head, all });
}

interface Bytes {
  readonly head: Uint8Array;
  /** The head too. */
  readonly all: AsyncIterable<Uint8Array>;
}

async function readHead(input: AsyncIterable<Uint8Array>): Promise<Bytes> {
  const iterator = input[Symbol.asyncIterator]();
  let head = new Uint8Array();
  // Standard input may come a byte at a time.
  while (head.length < headBytes) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const rest = { [Symbol.asyncIterator]: () => iterator };
  return { head, all: joined(head, rest) };
}

async function* joined(
  head: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield head;
  yield* rest;
}

async function* unzip(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip();
  // The decompressor hands on its own errors and those of the input.
  pipeline(Readable.from(bytes), gunzip, () => undefined);
  try {
    yield* gunzip;
  } catch (error) {
    const code = codeOf(error);
    if (!code.startsWith('Z_')) throw error;
    throw new ListError(`The gzip file is damaged or cut short (${code}).`, { cause: error });
  }
}

async function* decodeText({ head, all }: Bytes): AsyncGenerator<string> {
  const encoding = encodingOf(head);
  const decoder = new TextDecoder(encoding);
  for await (const bytes of all) {
    if (encoding === 'utf-8' && bytes.includes(0))
      throw new ListError('The list is not text; give UTF-8 or UTF-16, which may be in gzip.');
    yield decoder.decode(bytes, { stream: true });
  }
  yield decoder.decode();
}

function encodingOf(head: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' {
  if (startsWith(head, [0x50, 0x4b, 0x03, 0x04]))
    throw new ListError('The list is an Excel workbook (xlsx) or another zip file; save it as CSV.');
  if (startsWith(head, [0xd0, 0xcf, 0x11, 0xe0]))
    throw new ListError('The list is an Excel workbook (xls) or another Office file; save it as CSV.');
  const [first, second] = head;
  if (startsWith(head, [0xff, 0xfe]) || (second === 0 && first !== 0)) return 'utf-16le';
  if (startsWith(head, [0xfe, 0xff]) || (first === 0 && second !== undefined && second !== 0))
    return 'utf-16be';
  return 'utf-8';
}

function startsWith(bytes: Uint8Array, mark: readonly number[]): boolean {
  return mark.every((byte, place) => bytes[place] === byte);
}
