import { existsSync, readdirSync } from 'node:fs';
import { Command } from 'commander';
import { readVersion } from '../src/build.ts';
import { printableLines } from '../src/terminal/printable.ts';
import { environmentHelp } from './environment-help.ts';
import { explainError } from './explain-error.ts';
import { helpGroups } from './options.ts';

/** What a file `commands/<name>/command.ts` exports: the command, which loads what it works with when it is called. */
interface CommandFile {
  readonly command: () => Command;
}

const folder = new URL('./commands/', import.meta.url);

/** The command line, as `--help` describes it. A folder of `commands` that has a `command.ts` is a command. */
export async function createProgram(): Promise<Command> {
  const program = new Command('tim-mirror')
    .description('Keeps a Postgres mirror of the friend groups (分组) of Tencent Cloud IM accounts.')
    .version(readVersion(), '--version')
    // It quotes what was typed, or what a script has put there.
    .configureOutput({ writeErr: (text) => process.stderr.write(printableLines(text)) })
    .showHelpAfterError('(see --help)')
    .addHelpText('after', environmentHelp);
  for (const command of await loadCommands()) program.addCommand(command);
  inherit(program);
  return program;
}

/** In the order of their headings, and of their names. */
async function loadCommands(): Promise<readonly Command[]> {
  const files = readdirSync(folder)
    .sort()
    .map((name) => new URL(`${name}/command.ts`, folder))
    .filter((file) => existsSync(file));
  const modules: readonly CommandFile[] = await Promise.all(files.map((file) => import(file.href)));
  const headings: readonly string[] = Object.values(helpGroups);
  const place = (command: Command) => headings.indexOf(command.helpGroup());
  return modules.map(({ command }) => command()).toSorted((one, other) => place(one) - place(other));
}

/** A command that is added does not take over how its parent writes and fails. */
function inherit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inherit(child);
  }
}

/** Runs a command line and returns the exit code: 2 when it was called wrongly, 1 when it failed. */
export async function runProgram(
  loading: Command | Promise<Command>,
  argv: readonly string[],
): Promise<number> {
  try {
    const program = await loading;
    throwInsteadOfExit(program);
    await program.parseAsync([...argv]);
    return 0;
  } catch (error) {
    return explainError(error);
  }
}

function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwInsteadOfExit(child);
}
