/** Numbers one after the other, as many as there come. */
export function createNumbers(capacity: number) {
  let numbers = new Float64Array(Math.max(capacity, 16));
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(number: number): void {
      if (length === numbers.length) {
        const wider = new Float64Array(numbers.length * 2);
        wider.set(numbers);
        numbers = wider;
      }
      numbers[length] = number;
      length += 1;
    },
    sortFrom(start: number): void {
      if (length - start > 1) numbers.subarray(start, length).sort();
    },
    toArray: () => numbers.slice(0, length),
  };
}
