// Makes the pictures of README.md: the page and the terminal of a demo. `npm run pictures`; needs Chromium.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { findChromium, launchBrowser } from '../test/support/chromium.ts';

const folder = fileURLToPath(new URL('../docs/pictures/', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));
/** Until the first read is over and the plot has something to show. */
const settleMs = 75_000;

const chromium = findChromium((sentence) => process.stderr.write(`${sentence}\n`));
if (chromium === '') process.exit(1);
mkdirSync(folder, { recursive: true });

const demo = spawn(process.execPath, ['dev/demo.ts', '--for', '5m'], { cwd: root });
let said = '';
demo.stdout.on('data', (text: Buffer) => {
  said += stripVTControlCharacters(text.toString());
});
const ended = new Promise((resolve) => demo.once('exit', resolve));
try {
  const page = await found(/http:\/\/127\.0\.0\.1:\d+/);
  const database = await found(/postgres(?:ql)?:\/\/[^\s']+/);
  await sleep(settleMs);
  await takePage(page);
  const status = await output(['status'], { DATABASE_URL: database });
  writeFileSync(`${folder}terminal.svg`, drawTerminal('$ tim-mirror status', status));
} finally {
  demo.kill('SIGINT');
  await ended;
}

async function found(pattern: RegExp): Promise<string> {
  for (;;) {
    const [match] = pattern.exec(said) ?? [];
    if (match !== undefined) return match;
    if (demo.exitCode !== null) throw new Error(`the demo ended:\n${said}`);
    await sleep(200);
  }
}

async function takePage(url: string): Promise<void> {
  const browser = await launchBrowser(chromium);
  try {
    const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
    await page.goto(url);
    await page.locator('canvas').first().waitFor();
    await sleep(1000);
    await page.screenshot({ path: `${folder}page.jpg`, type: 'jpeg', quality: 70 });
  } finally {
    await browser.close();
  }
}

function output(command: readonly string[], environment: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, ['bin/tim-mirror.ts', ...command], {
    cwd: root,
    env: { ...process.env, ...environment },
  });
  let text = '';
  child.stdout.on('data', (part: Buffer) => {
    text += part.toString();
  });
  return new Promise((resolve) => child.once('exit', () => resolve(text)));
}

/** A terminal with a prompt and what came of it, as SVG with text that can be read and searched. */
function drawTerminal(prompt: string, text: string): string {
  const columns = 104;
  const lines = [prompt, ...text.trimEnd().split('\n')].map((line) =>
    line.length > columns ? `${line.slice(0, columns - 1)}…` : line,
  );
  const escaped = (line: string) => line.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const [width, height] = [columns * 8 + 40, lines.length * 20 + 40];
  const rows = lines.map(
    (line, row) =>
      `<text x="20" y="${34 + row * 20}" fill="${row === 0 ? '#8fd694' : '#e6e6e6'}" xml:space="preserve">${escaped(line)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13.3">`,
    `<title>${escaped(prompt)}</title>`,
    `<rect width="100%" height="100%" rx="8" fill="#1d1f23"/>`,
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}
