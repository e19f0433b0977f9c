import type { PolicyName } from './scenarios.ts';
import type { Freshness } from './simulate.ts';

/** The figures of every policy that was tried in a scenario. */
export type Figures = Readonly<Partial<Record<PolicyName, Freshness>>>;
