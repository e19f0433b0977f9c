/** How many accounts that a source has named may vanish from it at once. */
interface VanishedLimits {
  /** Beyond this the source itself is doubted. */
  readonly believed: number;
  /** Beyond this nothing is removed. */
  readonly removed: number;
}

const fewAccounts = 10;

/**
 * The limits for a source that had named `known` accounts: half is believed; a tenth, or ten, may be removed, unless an
 * operator allows `maxRemovals`.
 */
export function vanishedLimits(known: number, maxRemovals: number | undefined): VanishedLimits {
  const half = known / 2;
  return {
    believed: Math.max(half, maxRemovals ?? 0),
    removed: maxRemovals ?? Math.min(half, Math.max(fewAccounts, known / 10)),
  };
}
