/** What is to happen when a signal aborts, for any number of waiters. */
export interface AbortListeners {
  /** `onAbort` runs once when the signal aborts; it must not be aborted yet. */
  add(signal: AbortSignal, onAbort: () => void): void;
  remove(signal: AbortSignal, onAbort: () => void): void;
}

/**
 * One listener a signal, however many wait on it: an EventTarget looks through all its listeners whenever one comes
 * or goes, which with a thousand calls under way costs more than the call.
 */
export function createAbortListeners(): AbortListeners {
  const waiting = new WeakMap<AbortSignal, Set<() => void>>();

  function listen(signal: AbortSignal): Set<() => void> {
    const listeners = new Set<() => void>();
    waiting.set(signal, listeners);
    const onAbort = () => {
      for (const listener of listeners) listener();
      listeners.clear();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    return listeners;
  }

  return {
    add(signal, onAbort) {
      (waiting.get(signal) ?? listen(signal)).add(onAbort);
    },
    remove(signal, onAbort) {
      waiting.get(signal)?.delete(onAbort);
    },
  };
}
