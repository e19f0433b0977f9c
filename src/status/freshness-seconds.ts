/** From seconds, which a small installation reaches, to a week, when every account is asked for everything. */
export const freshnessSeconds = [
  1, 5, 15, 30, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 259_200, 604_800,
] as const;
