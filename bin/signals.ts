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
