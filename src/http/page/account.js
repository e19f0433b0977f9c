import { element, quiet, table } from './elements.js';
import { duration, moment, plural } from './format.js';

/** All that is known of an account, as `explain` shows it. */
export function explanationElements({ account, changesPerDay, dueInSeconds, why, outcomes }) {
  const now = Date.parse(account.now);
  const ago = (time) =>
    time === null ? 'never' : `${duration((now - Date.parse(time)) / 1000)} ago (${moment(time)})`;
  const rows = [
    ['account', account.accountId],
    ['status', account.status],
    [
      'holds',
      `${plural(account.groups, 'group')}, ${plural(account.members, 'member')}, sequence ${account.sequence ?? 'unknown'}`,
    ],
    ['verified', ago(account.verifiedAt)],
    ['changed', ago(account.changedAt)],
    ['read in full', ago(account.fullReadAt)],
    ['enrolled', `${ago(account.enrolledAt)}${account.inSource ? ', named by the source of accounts' : ''}`],
    [
      'changes',
      changesPerDay === undefined ? 'not known yet' : `${changesPerDay.toPrecision(2)} a day, estimated`,
    ],
    ['due', `${dueInSeconds ? `in ${duration(dueInSeconds)}` : 'now'}: ${why}`],
  ];
  if (account.held !== null) {
    rows.push([
      'held back',
      `${plural(account.held.groups, 'group')}, ${plural(account.held.members, 'member')}`,
    ]);
  }
  return [
    element('dl', {}, ...rows.flatMap(([name, text]) => [element('dt', {}, name), element('dd', {}, text)])),
    outcomes.length === 0 ? quiet('No outcome worth remembering yet.') : outcomesTable(outcomes),
  ];
}

function outcomesTable(outcomes) {
  return table(
    [
      ['at', 'time'],
      ['outcome', 'name'],
      ['', 'name'],
    ],
    outcomes.map(({ at, outcome, code, message }) => [
      moment(at),
      outcome.replaceAll('_', ' '),
      `${code ? `${code} ` : ''}${message ?? ''}`,
    ]),
  );
}
