import { expect, test } from 'vitest';
import { readBuild } from '../src/build.ts';

test('a build has a version, a Node and, of the image’s variable or the checkout, a commit', () => {
  const version = expect.stringMatching(/^\d+\.\d+\.\d+$/);
  expect(readBuild({ TIM_MIRROR_COMMIT: 'abc1234' })).toEqual({
    version,
    commit: 'abc1234',
    node: process.version,
  });
  // An image that was built without the argument has an empty one.
  expect(readBuild({ TIM_MIRROR_COMMIT: '' }).commit ?? '000000000000').toMatch(/^[0-9a-f]{12,}$/);
});
