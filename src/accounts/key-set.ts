/** A set of account keys that costs a bit for each, where a Set of ids would cost a hundred bytes. */
export interface KeySet {
  readonly size: number;
  add(key: number): void;
  has(key: number): boolean;
}

// Small, for keys with large gaps between them: imports that are repeated leave some.
const pageBits = 4096;

/** An empty set. Keys are whole numbers, at most 2^53; those that lie close together share a page of 512 bytes. */
export function createKeySet(): KeySet {
  const pages = new Map<number, Uint8Array>();
  let size = 0;

  const placeOf = (key: number) => {
    const bit = key % pageBits;
    return { page: Math.floor(key / pageBits), byte: bit >> 3, mask: 1 << (bit & 7) };
  };

  return {
    get size() {
      return size;
    },
    add(key) {
      const { page, byte, mask } = placeOf(key);
      const bits = pages.get(page) ?? new Uint8Array(pageBits / 8);
      const before = bits[byte] ?? 0;
      if ((before & mask) !== 0) return;
      bits[byte] = before | mask;
      pages.set(page, bits);
      size += 1;
    },
    has(key) {
      const { page, byte, mask } = placeOf(key);
      return ((pages.get(page)?.[byte] ?? 0) & mask) !== 0;
    },
  };
}
