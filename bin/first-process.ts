const numbers = { SIGINT: 2, SIGTERM: 15 } as const;

/**
 * As the first process of a container, a program gets only signals that it listens for. So it listens, and ends where a
 * command has nothing of its own to do first.
 */
export function obeySignals(): void {
  if (process.pid !== 1) return;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(128 + numbers[signal]);
    });
  }
}
