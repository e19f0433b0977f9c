import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { helpGroups } from '../../bin/options.ts';
import { createProgram } from '../../bin/program.ts';

test('every folder of bin/commands is a command, under a heading of the help, and each subcommand says what it does', async () => {
  const program = await createProgram();
  const folders = readdirSync(new URL('../../bin/commands/', import.meta.url));
  expect(program.commands.map((command) => command.name()).toSorted()).toEqual(folders.toSorted());
  for (const command of program.commands) {
    expect(Object.values(helpGroups)).toContain(command.helpGroup());
    for (const each of [command, ...command.commands]) expect(each.description()).not.toBe('');
  }
});
