import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { addActivity } from '../../db/queries/activity.ts';
import { addAudit } from '../../db/queries/audit.ts';
import type { Status } from '../../src/status/status.ts';
import { launchBrowser } from '../support/chromium.ts';
import { startTestServer, type TestServer } from '../support/http.ts';
import { populateWorld } from '../support/mirroring.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

const hostile = '<img src=x onerror=alert(1)>';
const token = 'the-admin-token-of-the-tests';
const path = inject('chromium');

/** Set to a folder, it keeps pictures of the page. */
const pictures = process.env['TEST_PICTURES'];

let browser: Browser;
let world: World;
let server: TestServer;
let opened: Opened;
let page: Page;

describe.skipIf(path === '')('the page for people', () => {
  beforeAll(async () => {
    world = await createWorld();
    browser = await launchBrowser(path);
    const ids = await populateWorld(world);
    await world.addAccounts(hostile);
    world.vendor.truth.change(hostile, {
      kind: 'add_group',
      group: '<b>bold</b>',
      members: ['<i>friend</i>'],
    });
    for (const id of [...ids.slice(0, 40), hostile]) await world.poll(id);
    world.vendor.setFaults([{ kind: 30001, probability: 1 }]);
    await world.poll(ids[41] ?? '');
    await addActivity(world.db, pastActivity());
    await addAudit(world.db, testApp.appId, { checked: 4000, stale: 12, wrong: 0 });
    server = await startTestServer(world.db);
    opened = await open(server);
    page = opened.page;
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
    await world?.[Symbol.asyncDispose]();
  });

  test('shows the numbers of /status, the plot, the changes and the errors, and loads nothing from elsewhere', async () => {
    const [app] = (await opened.shown()).apps;
    const text = (name: string) => page.locator(`[data-figure="${name}"]`).innerText();
    const count = (number: number | undefined) => (number ?? Number.NaN).toLocaleString('en-US');
    expect(await text('appId')).toBe(String(testApp.appId));
    expect(await text('calls.perSecond')).toBe(app?.calls.perSecond.toFixed(1));
    expect(await text('calls.limit')).toBe(count(app?.calls.limit));
    expect(await text('accounts.total')).toBe(count(app?.accounts.total));
    expect(await text('accounts.active')).toBe(count(app?.accounts.active));
    expect(await text('accounts.quarantined')).toBe(count(app?.accounts.quarantined));
    expect(await text('backlog.neverPolled')).toBe(count(app?.backlog.neverPolled));
    expect(await text('backlog.overdue')).toBe(count(app?.backlog.overdue));
    expect(await text('accuracy.right')).toBe('100.0 %');
    expect(await page.locator('.problem:visible').allInnerTexts()).toEqual(app?.problems);
    expect(await page.locator('.errors').innerText()).toContain(app?.errors[0]?.advice);
    expect(await page.locator('.u-wrap canvas').count()).toBe(1);
    expect(await page.locator('.changes tbody tr').count()).toBe(12);
    expect(await page.locator('.bars .bar').count()).toBeGreaterThan(0);
    expect(opened.elsewhere).toEqual([]);
    expect(opened.complaints).toEqual([]);
  });

  test('explains an account, whose id stays text whatever it holds', async () => {
    await page.getByLabel('UserID').fill(hostile);
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.locator('#explanation dd').first().waitFor();
    expect(await page.locator('#explanation dd').first().innerText()).toBe(hostile);
    expect(await page.locator('#explanation').innerText()).toContain('1 group, 1 member');
    await page.getByLabel('UserID').fill('<b>stranger</b>');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('<b>stranger</b>: this account is not enrolled').waitFor();
    expect(await page.locator('img, b, i').count()).toBe(0);
    expect(await page.locator('.changes').innerText()).toContain('<b>bold</b> / <i>friend</i>');
    expect(opened.complaints).toEqual([]);
  });

  test('fits on a phone and on a desktop, in the light and in the dark', async () => {
    await page.getByLabel('UserID').fill('user-00003');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.locator('#explanation dl').waitFor();
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const grounds: Record<string, unknown> = {};
    for (const [name, width] of [
      ['desktop', 1200],
      ['phone', 390],
    ] as const) {
      await page.setViewportSize({ width, height: 844 });
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        grounds[colorScheme] = await ground();
        // The plot takes on its new width a frame later.
        await page
          .waitForFunction(`document.documentElement.scrollWidth <= ${width}`, undefined, { timeout: 10_000 })
          .catch(() => undefined);
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
        await keepPicture(page, `${name}-${colorScheme}`);
      }
    }
    expect(grounds['light']).not.toBe(grounds['dark']);
    expect(opened.complaints).toEqual([]);
  });

  test('asks for the token, shows itself to who has it, and lets go again', async () => {
    await using guarded = await startTestServer(world.db, { adminToken: token });
    await using stranger = await open(guarded);
    const { page } = stranger;
    await page.goto(`${guarded.server.url}/`);
    await keepPicture(page, 'login');
    await page.getByLabel('Admin token').fill('not the token');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('That is not the token.').waitFor();
    await page.getByLabel('Admin token').fill(token);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator('[data-figure="accounts.total"]').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Admin token').waitFor();
    expect((await page.request.get(`${guarded.server.url}/status`)).status()).toBe(401);
  });
});

/** Half an hour in which the daemon went up to its limit. */
function pastActivity() {
  const now = Date.now();
  return Array.from({ length: 180 }, (_, index) => ({
    appId: testApp.appId,
    event: 'call',
    count: Math.round(1700 + 180 * Math.sin(index / 9) - (index % 23 === 0 ? 900 : 0)),
    at: now - index * 10_000,
  }));
}

interface Opened extends AsyncDisposable {
  readonly page: Page;
  /** What was asked of any other server. */
  readonly elsewhere: readonly string[];
  /** What the browser had to say: errors and what the policy refused. */
  readonly complaints: readonly string[];
  /** Opens the page, and the status that it shows. */
  shown(): Promise<Status>;
}

async function open(of: TestServer): Promise<Opened> {
  const context = await browser.newContext({ locale: 'en-GB' });
  const page = await context.newPage();
  const elsewhere: string[] = [];
  const complaints: string[] = [];
  page.on('request', (asked) => {
    const { protocol, origin } = new URL(asked.url());
    if (protocol !== 'data:' && origin !== of.server.url) elsewhere.push(asked.url());
  });
  page.on('console', (message) => {
    // The browser itself notes every answer that is no success; those are looked at where they matter.
    const noted = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !noted) complaints.push(message.text());
  });
  page.on('dialog', (dialog) => {
    complaints.push(`dialog ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  return {
    page,
    elsewhere,
    complaints,
    async shown() {
      const answered = page.waitForResponse((response) => response.url().endsWith('/status'));
      await page.goto(`${of.server.url}/`);
      const status = (await (await answered).json()) as Status;
      await page.locator('.changes table').waitFor();
      return status;
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

async function keepPicture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}
