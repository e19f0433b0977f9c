import { expect, test } from 'vitest';
import { createVendorLog } from '../../src/app/vendor-log.ts';
import { createLogger } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { collectLog } from '../support/collect-log.ts';

test('when most calls begin to fail one line says so, and one when they are well again', () => {
  const { destination, text } = collectLog();
  let time = 0;
  const log = createLogger({ level: 'info', scrubber: createScrubber(), destination });
  const vendor = createVendorLog(log, () => time);
  const lines = () =>
    text()
      .split('\n')
      .filter((line) => line !== '');
  const reason = { code: 0, message: 'connect ECONNREFUSED' };

  for (let second = 0; second < 60; second += 1) {
    time += 1000;
    for (let poll = 0; poll < 10; poll += 1) vendor.answered();
    if (second % 5 === 0) vendor.failed(reason);
  }
  expect(lines()).toEqual([]);
  for (let second = 0; second < 300; second += 1) {
    time += 1000;
    for (let poll = 0; poll < 20; poll += 1) vendor.failed(reason);
    vendor.answered();
  }
  expect(lines()).toHaveLength(1);
  expect(JSON.parse(lines()[0] ?? '')).toMatchObject({
    level: 'warn',
    msg: 'most calls to the vendor fail',
    reason: 'connect ECONNREFUSED',
  });
  for (let second = 0; second < 120; second += 1) {
    time += 1000;
    for (let poll = 0; poll < 20; poll += 1) vendor.answered();
  }
  expect(lines()).toHaveLength(2);
  const { level, msg, seconds } = JSON.parse(lines()[1] ?? '');
  expect({ level, msg }).toEqual({ level: 'info', msg: 'the vendor answers again' });
  expect(seconds).toBeGreaterThan(280);
});

test('a few failures of an app that is seldom polled are no line', () => {
  const { destination, text } = collectLog();
  const log = createLogger({ level: 'info', scrubber: createScrubber(), destination });
  const vendor = createVendorLog(log, () => 0);
  for (let poll = 0; poll < 9; poll += 1) vendor.failed({ code: 0, message: 'timeout' });
  expect(text()).toBe('');
});
