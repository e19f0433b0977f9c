/** 1234567 as `1,234,567`. */
export function count(number) {
  return number.toLocaleString('en-US');
}

/** 0.4 s, 12 s, 3 min, 5.1 h, 2.3 d; the same words as the command line's. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return 'unknown';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} d`;
}

/** A bound without decimals: 1 s, 5 min, 4 h, 3 d. */
export function bound(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${seconds / 60} min`;
  if (seconds < 86_400) return `${seconds / 3600} h`;
  return `${seconds / 86_400} d`;
}

/** 0.9987 as `99.9 %`; more digits where it is nearly all. */
export function percent(share) {
  return `${(share * 100).toFixed(share > 0.999 && share < 1 ? 3 : 1)} %`;
}

/** `1 account`, `2 accounts`. */
export function plural(number, what) {
  return `${count(number)} ${what}${number === 1 ? '' : 's'}`;
}

/** The time of day of a moment, with its date unless that is today. */
export function moment(text) {
  const at = new Date(text);
  const time = at.toLocaleTimeString([], { hour12: false });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}
