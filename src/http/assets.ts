import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';

interface Asset {
  readonly path: string;
  readonly file: URL;
  readonly type: string;
}

const text = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
};
const own = (name: string) => new URL(`./page/${name}`, import.meta.url);
const uplot = (name: string) => new URL(name, import.meta.resolve('uplot'));

/** All that the page for people loads. */
const pageAssets: readonly Asset[] = [
  { path: '/page.css', file: own('page.css'), type: text.css },
  { path: '/page.js', file: own('page.js'), type: text.js },
  { path: '/account.js', file: own('account.js'), type: text.js },
  { path: '/app-section.js', file: own('app-section.js'), type: text.js },
  { path: '/call-plot.js', file: own('call-plot.js'), type: text.js },
  { path: '/elements.js', file: own('elements.js'), type: text.js },
  { path: '/format.js', file: own('format.js'), type: text.js },
  { path: '/uplot.js', file: uplot('./uPlot.esm.js'), type: text.js },
  { path: '/uplot.css', file: uplot('./uPlot.min.css'), type: text.css },
];

const loginAssets: readonly Asset[] = [{ path: '/login.css', file: own('login.css'), type: text.css }];

/** Serves the page for people; with a way out where there was a way in. */
export function addPage(server: FastifyInstance, loggedIn: boolean): void {
  const page = readFileSync(own('index.html'), 'utf8');
  const shown = loggedIn ? page.replace('action="/logout" hidden', 'action="/logout"') : page;
  server.get('/', async (_request, reply) => reply.type(text.html).send(shown));
  serve(server, pageAssets);
}

/** Serves what the login form loads. */
export function addLoginAssets(server: FastifyInstance): void {
  serve(server, loginAssets);
}

/** Few and small files: read once, so that a missing one shows at the start. */
function serve(server: FastifyInstance, assets: readonly Asset[]): void {
  for (const { path, file, type } of assets) {
    const content = readFileSync(file);
    server.get(path, async (_request, reply) => reply.type(type).send(content));
  }
}
