import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

test('compose.yaml has no token and no password that is the same everywhere, and says how to make them', () => {
  const compose = read('compose.yaml');
  const used = [...compose.matchAll(/\$\{(\w*(?:TOKEN|PASSWORD|KEY)\w*)(.)(.)/g)].map(
    ([, name, colon, kind]) => [name, `${colon}${kind}`],
  );
  expect(used.map(([name]) => name)).toEqual(
    expect.arrayContaining([
      'ADMIN_TOKEN',
      'POSTGRES_PASSWORD',
      'TIM_OWNER_PASSWORD',
      'TIM_DAEMON_PASSWORD',
      'TIM_SECRET_KEY',
    ]),
  );
  for (const [, kind] of used) expect(kind).toBe(':?');
  // The line that makes them is the one that both READMEs show.
  const line = /for name in ADMIN_TOKEN .*>> \.env/.exec(compose)?.[0];
  expect(line).toBeDefined();
  for (const [name] of used) if (name !== 'TIM_SECRET_KEY') expect(line).toContain(name);
  for (const readme of ['README.md', 'README.zh-CN.md']) expect(read(readme)).toContain(line);
});
