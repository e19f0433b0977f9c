/** Something a row promises. */
export interface Goal {
  readonly figure: string;
  readonly value: number;
  readonly limit: number;
  readonly sense: 'at most' | 'at least';
  readonly met: boolean;
}

/** A goal, or none where there is no limit. */
export function goal(
  figure: string,
  value: number,
  sense: Goal['sense'],
  limit: number | undefined,
): readonly Goal[] {
  if (limit === undefined) return [];
  return [{ figure, value, limit, sense, met: sense === 'at most' ? value <= limit : value >= limit }];
}
