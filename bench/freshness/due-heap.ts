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

/** Accounts by due time, each at most once. */
interface DueQueue {
  /** The smallest due time; infinite when nothing is due. */
  smallestDue(): number;
  /** Takes the account with the smallest due time out; one must be due. */
  pop(): number;
  /** Puts an account in, or elsewhere. */
  put(account: number, due: number): void;
  remove(account: number): void;
  /** NaN while it is not in. */
  dueOf(account: number): number;
}

/** A queue of accounts below `size`, empty. What was put elsewhere stays in the heap until it comes up. */
export function createDueQueue(size: number): DueQueue {
  const heap = createDueHeap(size);
  const due = new Float64Array(size).fill(Number.NaN);
  let next: { account: number; due: number } | undefined;

  function peek(): typeof next {
    while (next === undefined && heap.size > 0) {
      const key = heap.smallestKey();
      const account = heap.pop();
      if (due[account] === key) next = { account, due: key };
    }
    return next;
  }

  return {
    smallestDue: () => peek()?.due ?? Number.POSITIVE_INFINITY,
    pop() {
      const first = peek();
      if (first === undefined) throw new RangeError('nothing is due');
      next = undefined;
      due[first.account] = Number.NaN;
      return first.account;
    },
    put(account, at) {
      due[account] = at;
      heap.push(account, at);
      if (next !== undefined && (next.account === account || at < next.due)) {
        // The peeked one goes back; where it is the one that was put elsewhere, its old place counts no more.
        if (next.account !== account) heap.push(next.account, next.due);
        next = undefined;
      }
    },
    remove(account) {
      due[account] = Number.NaN;
      if (next?.account === account) next = undefined;
    },
    dueOf: (account) => due[account] ?? Number.NaN,
  };
}
