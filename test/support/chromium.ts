import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { canInstallPackages, installPackage } from '../../dev/local-servers/debian-package.ts';

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** The path of a Chromium, installed where that is possible; empty, with the reason printed, where there is none. */
export function findChromium(say: (sentence: string) => void): string {
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  if (canInstallPackages()) {
    say('No Chromium: installing Debian’s package chromium by apt, for the test of the page.');
    installPackage('chromium');
  }
  const installed = places.find((path) => existsSync(path));
  if (installed === undefined)
    say('There is no Chromium, so the test of the page is skipped; install one to run it.');
  return installed ?? '';
}

/** A headless browser that talks to no server but that of the pages it is shown. */
export async function launchBrowser(path: string): Promise<Browser> {
  return chromium.launch({
    executablePath: path,
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
