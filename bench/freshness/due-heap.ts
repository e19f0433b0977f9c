/** The smallest key first: a binary heap over typed arrays, for hundreds of thousands of accounts. */
interface DueHeap {
  readonly size: number;
  /** The smallest key; infinite when there is none. */
  smallestKey(): number;
  push(account: number, key: number): void;
  /** Takes the account with the smallest key out; the heap must not be empty. */
  pop(): number;
}

/** An empty heap. It grows when more than `capacity` entries are pushed. */
export function createDueHeap(capacity: number): DueHeap {
  let keys = new Float64Array(Math.max(capacity, 16));
  let accounts = new Int32Array(keys.length);
  let size = 0;

  function grow(): void {
    const wider = new Float64Array(keys.length * 2);
    wider.set(keys);
    keys = wider;
    const more = new Int32Array(keys.length);
    more.set(accounts);
    accounts = more;
  }

  function siftDown(account: number, key: number): void {
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= size) break;
      if (child + 1 < size && (keys[child + 1] ?? 0) < (keys[child] ?? 0)) child += 1;
      const childKey = keys[child] ?? 0;
      if (childKey >= key) break;
      keys[place] = childKey;
      accounts[place] = accounts[child] ?? 0;
      place = child;
    }
    keys[place] = key;
    accounts[place] = account;
  }

  return {
    get size() {
      return size;
    },
    smallestKey: () => (size === 0 ? Number.POSITIVE_INFINITY : (keys[0] ?? 0)),
    push(account, key) {
      if (size === keys.length) grow();
      let place = size;
      size += 1;
      while (place > 0) {
        const parent = (place - 1) >> 1;
        const parentKey = keys[parent] ?? 0;
        if (parentKey <= key) break;
        keys[place] = parentKey;
        accounts[place] = accounts[parent] ?? 0;
        place = parent;
      }
      keys[place] = key;
      accounts[place] = account;
    },
    pop() {
      if (size === 0) throw new RangeError('nothing is due');
      const top = accounts[0] ?? 0;
      size -= 1;
      if (size > 0) siftDown(accounts[size] ?? 0, keys[size] ?? 0);
      return top;
    },
  };
}
