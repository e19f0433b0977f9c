/** The sum of a metric's samples in the text of `/metrics`; of those whose labels contain `label`, where one is given. */
export function sumOf(metrics: string, name: string, label = ''): number {
  const samples = metrics.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'));
  return samples.reduce(
    (sum, [, labels = '', value]) => (labels.includes(label) ? sum + Number(value) : sum),
    0,
  );
}
