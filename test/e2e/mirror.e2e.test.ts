import { testMirroring } from './mirror.suite.ts';

testMirroring(() => undefined, ['full']);
