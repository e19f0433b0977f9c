const endingSignals = ['SIGINT', 'SIGTERM'] as const;

/**
 * Calls `listener` at each SIGINT and SIGTERM, with how many have come. Returns what ends that: without a listener a
 * signal ends the process.
 */
export function onSignals(listener: (times: number) => void): () => void {
  let times = 0;
  const onSignal = () => {
    times += 1;
    listener(times);
  };
  for (const signal of endingSignals) process.on(signal, onSignal);
  return () => {
    for (const signal of endingSignals) process.off(signal, onSignal);
  };
}

/** Calls `listener` at the first SIGINT or SIGTERM; the next one ends the process. Returns what ends that. */
export function onFirstSignal(listener: () => void): () => void {
  const leave = onSignals(() => {
    leave();
    listener();
  });
  return leave;
}
