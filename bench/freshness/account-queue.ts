/** First in, first out. */
interface AccountQueue {
  readonly length: number;
  push(account: number): void;
  /** The queue must not be empty. */
  shift(): number;
}

/** A ring that holds each of `size` accounts at most once. */
export function createAccountQueue(size: number): AccountQueue {
  const ring = new Int32Array(Math.max(size, 1));
  let head = 0;
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(account) {
      const tail = head + length;
      ring[tail < ring.length ? tail : tail - ring.length] = account;
      length += 1;
    },
    shift() {
      const account = ring[head] ?? 0;
      head = head + 1 === ring.length ? 0 : head + 1;
      length -= 1;
      return account;
    },
  };
}
