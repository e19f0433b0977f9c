import { explanationElements } from './account.js';
import { createAppSection } from './app-section.js';
import { quiet } from './elements.js';

const everyMs = 5000;
const find = (id) => document.getElementById(id);
const sections = new Map();

async function read(path) {
  const response = await fetch(path, { headers: { accept: 'application/json' } });
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body;
}

function sectionOf(appId) {
  if (!sections.has(appId)) {
    const section = createAppSection();
    find('apps').append(section.element);
    sections.set(appId, section);
    const choice = find('lookup-app');
    choice.append(new Option(String(appId), String(appId)));
    choice.hidden = choice.options.length < 2;
  }
  return sections.get(appId);
}

async function showStatus() {
  const { apps, build } = await read('/status');
  for (const app of apps) sectionOf(app.appId).showStatus(app);
  const problems = apps.flatMap((app) => app.problems).length;
  const well = apps.length > 0 && problems === 0;
  const state = find('state');
  state.textContent = well
    ? 'All is well'
    : apps.length === 0
      ? 'No app yet'
      : `${problems} ${problems === 1 ? 'thing' : 'things'} to look at`;
  state.classList.toggle('good', well);
  state.classList.toggle('bad', !well);
  find('build').textContent = `${build.version}${build.commit === null ? '' : ` (${build.commit})`}`;
  find('as-of').textContent = new Date().toLocaleTimeString([], { hour12: false });
}

async function showRest() {
  const [calls, freshness, changes] = await Promise.all([
    read('/calls'),
    read('/freshness'),
    read('/changes'),
  ]);
  for (const app of calls.apps) sections.get(app.appId)?.showCalls({ ...app, seconds: calls.seconds });
  for (const app of freshness.apps) sections.get(app.appId)?.showFreshness(freshness.bounds, app.accounts);
  for (const app of changes.apps) sections.get(app.appId)?.showChanges(app.changes);
}

async function show() {
  const problem = find('problem');
  try {
    await showStatus();
    await showRest();
    problem.hidden = true;
  } catch (error) {
    problem.textContent = `Not up to date: ${error.message}`;
    problem.hidden = false;
  }
}

async function lookUp(event) {
  event.preventDefault();
  const account = find('lookup-account').value.trim();
  const place = find('explanation');
  try {
    const query = new URLSearchParams({ app: find('lookup-app').value, account });
    place.replaceChildren(...explanationElements(await read(`/explain?${query}`)));
  } catch (error) {
    place.replaceChildren(quiet(`${account}: ${error.message}`));
  }
}

find('lookup').querySelector('form').addEventListener('submit', lookUp);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void show();
});
setInterval(() => {
  if (!document.hidden) void show();
}, everyMs);
void show();
