import { defineConfig } from 'vitest/config';

// What a test file needs is in its name: nothing, Postgres, Redis too, or the whole thing.
const suites: Readonly<Record<string, { readonly include: string[]; readonly exclude?: string[] }>> = {
  unit: { include: ['test/**/*.test.ts'], exclude: ['test/**/*.{pg,redis,e2e}.test.ts'] },
  pg: { include: ['test/**/*.pg.test.ts'] },
  redis: { include: ['test/**/*.redis.test.ts'] },
  e2e: { include: ['test/**/*.e2e.test.ts'] },
};

/** Proofs that take long and repeat what shorter tests show at another size, or with a daemon in a process of its own. */
const long = [
  'test/accounts/million-accounts.pg.test.ts',
  'test/app/removal-breaker-scale.pg.test.ts',
  'test/chaos/chaos.e2e.test.ts',
  'test/db/migrate-online.pg.test.ts',
  'test/db/runtime-role.pg.test.ts',
  'test/db/silent-sessions.pg.test.ts',
  'test/docs/compose.e2e.test.ts',
  'test/e2e/!(mirror|processes).e2e.test.ts',
  'test/e2e/mirror-*.e2e.test.ts',
  'test/plan/plan.test.ts',
  'test/schedule/corners.pg.test.ts',
  'test/sync/interleavings.pg.test.ts',
];

/** Tests that take seconds each: not in `npm run test:fast`. */
const slow = [
  'test/accounts/sync-accounts.pg.test.ts',
  'test/app/removal-breaker.pg.test.ts',
  'test/cli/*.pg.test.ts',
  'test/db/change-partitions.pg.test.ts',
  'test/db/process-lock.pg.test.ts',
  'test/freshness/*.test.ts',
  'test/http/floods.pg.test.ts',
  'test/limiter/token-bucket.test.ts',
  'test/tencent/response-memory.test.ts',
];

/** Which tests a run takes; a file that the command line names is always taken. */
const scope = process.argv.some((argument) => argument.startsWith('test/'))
  ? 'all'
  : (process.env['TEST_SCOPE'] ?? 'usual');
const leftOut = { fast: [...long, ...slow], usual: long, long: [], all: [] }[scope];
if (leftOut === undefined) throw new Error(`TEST_SCOPE is fast, usual, long or all, and not ${scope}.`);

const suiteOf = (pattern: string) => /\.(pg|redis|e2e)\.test\.ts$/.exec(pattern)?.[1] ?? 'unit';
const longOf = (suite: string) => long.filter((pattern) => suiteOf(pattern) === suite);

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    reporters: process.env['CI']
      ? ['default', ['json', { outputFile: `test-report${scope === 'long' ? '-long' : ''}.json` }]]
      : ['default'],
    maxWorkers: 4,
    // Each file would load the whole program again, which takes a third of the time.
    isolate: false,
    projects: Object.entries(suites).map(([name, files]) => ({
      extends: true,
      test: {
        name,
        include: scope === 'long' ? longOf(name) : files.include,
        exclude: [...(files.exclude ?? []), ...leftOut],
        testTimeout: name === 'e2e' || scope === 'long' ? 180_000 : 60_000,
        hookTimeout: 180_000,
      },
    })),
  },
});
