import type { Random } from './random.ts';

/**
 * Ways in which an answer can go wrong, beside the vendor's own error codes. `empty` lists no groups, `short` fewer
 * friends than it counts. Both may hit an account twice in a row, and two answers that agree count as the truth;
 * `empty_once` and `short_once` spare it for five minutes.
 */
export const faultNames = [
  'http_502',
  'reset',
  'hang',
  'truncated',
  'html',
  'wrong_type',
  'null_fields',
  'empty',
  'empty_once',
  'short',
  'short_once',
] as const;

/** A named fault, or one of the vendor's error codes. */
export type FaultKind = (typeof faultNames)[number] | number;

/** A fault and how likely it is, from 0 to 1. */
export interface Fault {
  readonly kind: FaultKind;
  readonly probability: number;
}

/** Reads `30006=0.01` or `reset=0.5`; undefined when it is neither. */
export function parseFault(text: string): Fault | undefined {
  const match = /^([a-z_0-9]+)=(\d*\.?\d+)$/.exec(text);
  const [, name, share] = match ?? [];
  const probability = Number(share);
  if (name === undefined || !(probability >= 0 && probability <= 1)) return undefined;
  const kind = /^\d+$/.test(name) ? Number(name) : faultNames.find((known) => known === name);
  return kind === undefined ? undefined : { kind, probability };
}

/** This long `empty_once` and `short_once` spare an account that they have hit. */
const sparedMs = 300_000;

/** Draws what goes wrong with one answer of an account; undefined for nothing. */
export function createFaultDraw(
  random: Random,
): (account: string, faults: readonly Fault[]) => FaultKind | undefined {
  // When a fault that hits once last hit an account.
  const spared = new Map<string, number>();
  return (account, faults) => {
    const fault = drawFault(faults, random);
    if (fault !== 'empty_once' && fault !== 'short_once') return fault;
    const now = performance.now();
    if (now - (spared.get(account) ?? Number.NEGATIVE_INFINITY) < sparedMs) return undefined;
    spared.set(account, now);
    return fault;
  };
}

function drawFault(faults: readonly Fault[], random: Random): FaultKind | undefined {
  let chance = random.next();
  for (const fault of faults) {
    if (chance < fault.probability) return fault.kind;
    chance -= fault.probability;
  }
  return undefined;
}
