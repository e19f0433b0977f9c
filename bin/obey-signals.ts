const numbers = { SIGINT: 2, SIGTERM: 15 } as const;
const checkEveryMs = 100;

/**
 * Makes the process end at SIGTERM where it would not: as the first process of a container, and under `npx`. There it
 * ends where a command has nothing of its own to do first.
 */
export function obeySignals(): void {
  const underNpx = isUnderNpx();
  if (process.pid !== 1 && !underNpx) return;
  let signalled = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // The first process of a container gets only signals that it listens for.
    process.on(signal, () => {
      signalled = true;
      if (process.listenerCount(signal) === 1) process.exit(128 + numbers[signal]);
    });
  }
  if (underNpx) afterParent(() => signalled || process.kill(process.pid, 'SIGTERM'));
}

/** Whether the shell of `npx tim-mirror` is the parent. Other programs that npx starts may run this one too. */
function isUnderNpx(): boolean {
  const { npm_lifecycle_event: event, npm_lifecycle_script: script = '' } = process.env;
  return event === 'npx' && script.includes('tim-mirror');
}

/** npx sends the signals that it gets to its shell. Many shells end at once, and leave the program running alone. */
function afterParent(then: () => void): void {
  const parent = process.ppid;
  const check = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(check);
    then();
  }, checkEveryMs);
  check.unref();
}
