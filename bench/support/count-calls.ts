/** Calls `count` for every call of a method, in all objects of a class. */
export function countCalls(prototype: object, method: string, count: () => void): void {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`there is no ${method} to count`);
  Object.defineProperty(prototype, method, {
    configurable: true,
    value: function counted(this: unknown, ...given: unknown[]): unknown {
      count();
      return Reflect.apply(original, this, given);
    },
  });
}
