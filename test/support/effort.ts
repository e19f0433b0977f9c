/** How many runs a property gets: TEST_EFFORT=10 gives ten times as many. */
export function runs(usual: number): number {
  return Math.ceil(usual * Number(process.env['TEST_EFFORT'] ?? 1));
}
