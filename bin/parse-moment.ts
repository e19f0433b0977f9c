import { parseDuration } from '../src/config/values.ts';

const written = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/**
 * A moment as people write it: `2026-11-01`, `2026-11-01 12:00`, `2026-11-01T12:00:00+08:00`, in UTC unless it says
 * otherwise; or `2h`, this long ago. Undefined when it is neither.
 */
export function parseMoment(text: string, now: Date): Date | undefined {
  const ago = parseDuration(text);
  if (ago !== undefined) return new Date(now.getTime() - ago);
  const [, day, minute = '00:00', rest = '', zone = 'Z'] = written.exec(text) ?? [];
  if (day === undefined) return undefined;
  // JavaScript would take the 30th of February for the 2nd of March.
  if (Number.isNaN(Date.parse(day)) || !new Date(day).toISOString().startsWith(day)) return undefined;
  const moment = new Date(`${day}T${minute}${rest}${zone}`);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}
