import { expect, test } from 'vitest';
import { formatGoals, type Goal, judgeGoals } from '../../bench/support/report.ts';

const goals: readonly Goal[] = [
  { figure: 'polls/s', value: 3000, sense: '≥', limit: 3000 },
  { figure: 'bytes', value: 301, sense: '≤', limit: 300 },
  { figure: 'never measured', value: Number.NaN, sense: '≤', limit: 1 },
];

test('the JSON of goals has name, goal, value and whether they are met', () => {
  expect(judgeGoals(goals)).toEqual([
    { name: 'polls/s', goal: '≥ 3000', value: 3000, met: true },
    { name: 'bytes', goal: '≤ 300', value: 301, met: false },
    { name: 'never measured', goal: '≤ 1', value: Number.NaN, met: false },
  ]);
});

test('people see which goals are missed', () => {
  expect(
    formatGoals(goals)
      .split('\n')
      .map((line) => line.trim().split(' ')[0]),
  ).toEqual(['met', 'MISSED', 'MISSED']);
});
