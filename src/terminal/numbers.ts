/** 1234567 as `1,234,567`. */
export function count(number: number): string {
  return number.toLocaleString('en-US');
}

/** A share as `2.5 %`; with three digits where fewer would show a whole that it is not. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0.999 && share < 1 ? 3 : 1)} %`;
}

/** A share that a person has chosen, without idle digits: `95 %`, `97.5 %`. */
export function plainPercent(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`;
}

/** 0.4 s, 12 s, 3 min, 5.1 h, 2.3 d. */
export function duration(seconds: number | null): string {
  if (seconds === null) return 'unknown';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} d`;
}

/** 45 s, 7.4 min, 42 min, 3.9 h: finer than `duration`, where numbers are compared side by side. */
export function fineDuration(seconds: number): string {
  return seconds >= 60 && seconds < 1200 ? `${(seconds / 60).toFixed(1)} min` : duration(seconds);
}

/** The rate since `since` (`performance.now()`), a second: `4.2/s`, `1,234/s`. */
export function rate(done: number, since: number): string {
  const perSecond = (done / Math.max(performance.now() - since, 1)) * 1000;
  return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}
