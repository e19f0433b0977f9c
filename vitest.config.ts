import { defineConfig } from 'vitest/config';

// What a test file needs is in its name: nothing, Postgres, Redis too, or the whole thing.
const suites = {
  unit: { include: ['test/**/*.test.ts'], exclude: ['test/**/*.{pg,redis,e2e}.test.ts'] },
  pg: { include: ['test/**/*.pg.test.ts'] },
  redis: { include: ['test/**/*.redis.test.ts'] },
  e2e: { include: ['test/**/*.e2e.test.ts'] },
};

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-report.json' }]] : ['default'],
    maxWorkers: 4,
    projects: Object.entries(suites).map(([name, files]) => ({
      extends: true,
      test: { name, ...files, testTimeout: name === 'e2e' ? 180_000 : 60_000, hookTimeout: 180_000 },
    })),
  },
});
