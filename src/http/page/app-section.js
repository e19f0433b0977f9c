import { createCallPlot } from './call-plot.js';
import { element, quiet, table } from './elements.js';
import { bound, count, duration, moment, percent, plural } from './format.js';

/** The part of the page about one app. */
export function createAppSection() {
  const template = document.getElementById('app-template');
  const section = template.content.firstElementChild.cloneNode(true);
  const find = (selector) => section.querySelector(selector);
  const plot = createCallPlot(find('.plot'));
  let limit = 0;

  function figure(name, text) {
    find(`[data-figure="${name}"]`).textContent = text;
  }

  return {
    element: section,

    showStatus(app) {
      limit = app.calls.limit;
      for (const [name, text] of Object.entries(figuresOf(app))) figure(name, text);
      find('.state').classList.toggle('good', app.state === 'polling');
      find('.state').classList.toggle('bad', app.state !== 'polling');
      find('.problems').replaceChildren(
        ...app.problems.map((problem) => element('li', { className: 'problem' }, problem)),
      );
      find('.first-read').hidden = app.firstRead === null;
      const progress = find('progress');
      progress.max = app.accounts.total;
      progress.value = app.accounts.total - app.backlog.neverPolled;
      find('.errors').replaceChildren(...errorElements(app));
    },

    showCalls: (series) => plot.show({ ...series, limit }),

    showFreshness(bounds, accounts) {
      find('.bars').replaceChildren(...bars(bounds, accounts));
    },

    showChanges(changes) {
      find('.changes').replaceChildren(changesTable(changes));
    },
  };
}

/** Every number of the status that the page shows. */
function figuresOf(app) {
  const { accounts, ageSeconds, backlog, calls, accuracy, firstRead } = app;
  return {
    appId: app.appId,
    state: app.state,
    'calls.perSecond': calls.perSecond.toFixed(1),
    'calls.limit': count(calls.limit),
    'ageSeconds.p50': ageSeconds.p50 === null ? '–' : duration(ageSeconds.p50),
    'ageSeconds.p95': ageSeconds.p95 === null ? '–' : duration(ageSeconds.p95),
    'ageSeconds.oldest': ageSeconds.oldest === null ? '–' : duration(ageSeconds.oldest),
    'delay.meanSeconds': app.delay === null ? '–' : duration(app.delay.meanSeconds),
    'backlog.total': count(backlog.neverPolled + backlog.overdue),
    'backlog.neverPolled': count(backlog.neverPolled),
    'backlog.overdue': count(backlog.overdue),
    'backlog.seconds':
      app.state === 'polling'
        ? `${duration(backlog.seconds)} to its end`
        : ({ failing: 'calls fail', halted: 'the app is halted', waiting: 'the daemon waits' }[app.state] ??
          'no daemon runs'),
    'accounts.total': count(accounts.total),
    'accounts.active': count(accounts.active),
    'accounts.failing': count(accounts.failing),
    'accounts.gone': count(accounts.gone),
    'accounts.quarantined': count(accounts.quarantined),
    'accuracy.right': accuracy === null ? '–' : percent(accuracy.right.share),
    'accuracy.checked':
      accuracy === null
        ? 'nothing compared yet'
        : `of ${count(accuracy.checked)} compared in 7 days; ${percent(accuracy.inSync.share)} in sync`,
    firstRead: firstRead === null ? '' : `${count(firstRead.left)} to go, ${firstReadRate(firstRead)}`,
  };
}

function firstReadRate({ underWay, perSecond, secondsLeft }) {
  if (!underWay) return 'nothing is read at present';
  if (secondsLeft === null) return 'how long is not known yet';
  return `${perSecond.toFixed(1)} a second, ${duration(secondsLeft)} left`;
}

function errorElements(app) {
  if (app.errors.length === 0) return [quiet('None.')];
  return app.errors.map((error) => {
    const words = app.failures
      .filter((failure) => failure.outcome === error.class)
      .map(({ code, message, accounts }) =>
        quiet(`${plural(accounts, 'account')}: ${code === 0 ? '' : `${code} `}“${message}”`),
      );
    return element(
      'div',
      { className: 'error' },
      element(
        'p',
        {},
        element('strong', {}, error.class.replaceAll('_', ' ')),
        ` ${plural(error.polls, 'poll')}, ${plural(error.accounts, 'account')} now`,
      ),
      ...words,
      element('p', {}, error.advice),
    );
  });
}

function bars(bounds, accounts) {
  const most = Math.max(1, ...accounts);
  const first = accounts.findIndex((number) => number > 0);
  const last = accounts.findLastIndex((number) => number > 0);
  if (first === -1) return [quiet('Nothing read yet.')];
  return accounts.slice(first, last + 1).flatMap((number, place) => {
    const index = first + place;
    const label = index < bounds.length ? `under ${bound(bounds[index])}` : `over ${bound(bounds.at(-1))}`;
    const bar = element('div', { className: 'bar' });
    bar.style.width = `${(number / most) * 100}%`;
    return [element('span', {}, label), bar, element('span', { className: 'count' }, count(number))];
  });
}

function changesTable(changes) {
  if (changes.length === 0) return quiet('None yet.');
  return table(
    [
      ['seen at', 'time'],
      ['account', 'name'],
      ['change', 'name'],
    ],
    changes.map((change) => [moment(change.observedAt), change.accountId, changeText(change)]),
  );
}

function changeText({ kind, groupName, friendId, oldGroupName }) {
  if (oldGroupName !== null) return element('span', {}, `~ ${oldGroupName} → ${groupName}`);
  const added = kind.endsWith('_added');
  return element(
    'span',
    { className: added ? 'added' : 'removed' },
    `${added ? '+' : '−'} ${groupName}${friendId === null ? '' : ` / ${friendId}`}`,
  );
}
