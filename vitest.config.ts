import { defineConfig } from 'vitest/config';

// What a test file needs is in its name: nothing, Postgres, Redis too, or the whole thing.
const suites: Readonly<Record<string, { readonly include: string[]; readonly exclude?: string[] }>> = {
  unit: { include: ['test/**/*.test.ts'], exclude: ['test/**/*.{pg,redis,e2e}.test.ts'] },
  pg: { include: ['test/**/*.pg.test.ts'] },
  redis: { include: ['test/**/*.redis.test.ts'] },
  e2e: { include: ['test/**/*.e2e.test.ts'] },
};

/** Proofs that take long, and tests that start a process for each command: not in `npm run test:fast`. */
const slow = [
  'test/accounts/million-accounts.pg.test.ts',
  'test/accounts/sync-accounts.pg.test.ts',
  'test/app/removal-breaker{,-scale}.pg.test.ts',
  'test/cli/*.pg.test.ts',
  'test/db/change-partitions.pg.test.ts',
  'test/db/migrate-online.pg.test.ts',
  'test/db/process-lock.pg.test.ts',
  'test/db/runtime-role.pg.test.ts',
  'test/db/silent-sessions.pg.test.ts',
  'test/freshness/simulate.test.ts',
  'test/http/floods.pg.test.ts',
  'test/limiter/token-bucket.test.ts',
  'test/plan/plan.test.ts',
  'test/schedule/corners.pg.test.ts',
  'test/sync/interleavings.pg.test.ts',
  'test/tencent/response-memory.test.ts',
];
const left = process.env['TEST_FAST'] === undefined ? [] : slow;

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-report.json' }]] : ['default'],
    maxWorkers: 4,
    projects: Object.entries(suites).map(([name, files]) => ({
      extends: true,
      test: {
        name,
        include: files.include,
        exclude: [...(files.exclude ?? []), ...left],
        testTimeout: name === 'e2e' ? 180_000 : 60_000,
        hookTimeout: 180_000,
      },
    })),
  },
});
