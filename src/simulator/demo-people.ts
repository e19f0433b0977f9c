import { populate } from './population.ts';
import { createRandom, type Random } from './random.ts';
import type { Truth } from './truth.ts';

const seed = 20_260_101;
const accounts = 500;

/** Fills a truth with the 500 people of the demo, the same each time. Returns their ids, and the chance to go on with. */
export function populateDemo(truth: Truth): { readonly ids: readonly string[]; readonly random: Random } {
  const random = createRandom(seed);
  return { ids: populate(truth, accounts, random), random };
}
