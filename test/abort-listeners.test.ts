import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { createAbortListeners } from '../src/abort-listeners.ts';

test('any number of waiters share one listener, and each hears of the abort once', () => {
  const { signal, abort } = controller();
  const listeners = createAbortListeners();
  const heard: number[] = [];
  const waiters = Array.from({ length: 100 }, (_, index) => () => {
    heard.push(index);
  });
  for (const waiter of waiters) listeners.add(signal, waiter);
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  for (const waiter of waiters.slice(2)) listeners.remove(signal, waiter);
  abort();
  abort();
  expect(heard).toEqual([0, 1]);
});

function controller(): { signal: AbortSignal; abort: () => void } {
  const made = new AbortController();
  return { signal: made.signal, abort: () => made.abort() };
}
