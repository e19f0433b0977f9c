import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { enrolAccounts } from '../../db/queries/accounts.ts';
import { createLogger, withoutOrders } from '../../src/log.ts';
import { createScrubber } from '../../src/scrubber.ts';
import { daemonEnvironment, runCommand } from '../support/daemon.ts';
import { createWorld, testApp, type World } from '../support/world.ts';

/** Renames the window, colours, rings, turns the direction of writing, ends lines; in C0, in C1 and beyond. */
const orders = '\u001b]0;owned\u0007\u001b[31m\u009b32m\u0090\u007f\r\u202e\u2066\u200f\u061c\u2028';
const hostile = `evil${orders}`;
/** Anything that a terminal would obey; ends of lines are ours. */
const obeyed = /[^\P{Cc}\n]|[\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

const folder = mkdtempSync(join(tmpdir(), 'tim-hostile-'));
const list = join(folder, 'accounts.txt');
const csv = join(folder, 'accounts.csv');

let world: World;
let env: Record<string, string>;

/** A mirror in which every text that comes from outside is hostile: names, ids, the vendor's words, reasons. */
beforeAll(async () => {
  world = await createWorld();
  env = daemonEnvironment({ vendor: world.vendor, databaseUrl: world.database.url });
  const { db, vendor } = world;
  await world.addAccounts('alice');
  vendor.truth.change('alice', { kind: 'add_group', group: hostile, members: [hostile, 'bob'] });
  await world.poll('alice');
  vendor.truth.change('alice', { kind: 'rename_group', group: hostile, to: `${hostile}!` });
  await world.poll('alice');
  // Not by way of the vendor: that is refused at the door.
  await enrolAccounts(db, testApp.appId, [hostile]);
  await sql`
    insert into mirror.friend_group (account_key, group_name, friend_number, added_at)
    select account_key, ${hostile}, 1, now() from mirror.account where account_id = ${hostile}
  `.execute(db);
  await sql`
    insert into mirror.change (app_id, account_key, kind, group_name, observed_at)
    select ${testApp.appId}, account_key, 'group_added', ${hostile}, now() from mirror.account where account_id = ${hostile}
  `.execute(db);
  await sql`
    update mirror.poll_state set status = 'quarantined', fail_count = 3
    from mirror.account where account.account_key = poll_state.account_key and account_id = ${hostile}
  `.execute(db);
  await sql`
    insert into mirror.poll_outcome (account_key, claim_no, outcome, code, message)
    select account_key, 1000, 'bad_request', 30001, ${hostile} from mirror.account
  `.execute(db);
  await sql`
    insert into mirror.held_removal (account_key, app_id, groups, members)
    select account_key, app_id, 1, 1 from mirror.account
  `.execute(db);
  await sql`
    insert into mirror.account_source (app_id, failing_since, failed_at, failure)
    values (${testApp.appId}, now(), now(), ${hostile})
  `.execute(db);
  await sql`
    update mirror.app set halted_at = now(), halt_kind = 'credentials', halt_code = 70001, halt_message = ${hostile},
      probe_at = now(), removals_held_at = now(), removals_shrunk = 1, removals_read = 1
  `.execute(db);
  await sql`update mirror.feed set months_problem = ${hostile}`.execute(db);
  writeFileSync(list, `${hostile}\nok${orders}\n`);
  writeFileSync(csv, `account_id,note\n"al${orders}"x,1\n`);
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const commandLines: readonly (readonly string[])[] = [
  ['status'],
  ['status', '--json'],
  ['status', '--quarantined'],
  ['status', '--quarantined', '--json'],
  ['status', '--learning'],
  ['explain', hostile],
  ['explain', 'alice'],
  ['explain', 'alice', '--json'],
  ['explain', `stranger${orders}`],
  ['groups', 'alice'],
  ['groups', 'alice', '--json'],
  ['groups', hostile],
  ['groups', `stranger${orders}`],
  ['changes'],
  ['changes', '--json'],
  ['removals', 'list'],
  ['removals', 'list', '--json'],
  ['sync', hostile, '--timeout', '1s'],
  ['sync', `stranger${orders}`, '--timeout', '1s'],
  ['fetch', 'alice'],
  ['probe', 'alice'],
  ['probe', 'alice', '--json'],
  ['verify'],
  ['verify', '--json'],
  ['accounts', 'add', hostile],
  ['accounts', 'remove', `stranger${orders}`],
  ['accounts', 'import', list],
  ['accounts', 'import', csv],
  ['accounts', 'import', `${folder}/${orders}`],
  ['plan', '--from-database'],
  ['plan', '--accounts', orders],
  [`unknown${orders}`],
  ['status', `--unknown${orders}`],
];

/** What each command line writes, to both outputs. */
async function writtenBy(lines: readonly (readonly string[])[]): Promise<readonly string[]> {
  const program = fileURLToPath(new URL('../support/command-lines.ts', import.meta.url));
  const { code, stdout, stderr } = await runCommand([], env, { program, input: JSON.stringify(lines) }).ended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const [, ...out] = stdout.split(/^--- command \d+\n/m);
  const [, ...err] = stderr.split(/^--- command \d+\n/m);
  return out.map((text, index) => `${text}${err[index]}`.trim());
}

describe('a name that gives a terminal orders is shown as text', () => {
  test('by every command', async () => {
    const written = await writtenBy(commandLines);
    expect(written).toHaveLength(commandLines.length);
    for (const [index, args] of commandLines.entries()) {
      const text = written[index] ?? '';
      expect({ args, text }).not.toEqual({ args, text: '' });
      expect({ args, obeyed: obeyed.exec(text)?.[0] }).toEqual({ args, obeyed: undefined });
    }
    // Shown, and not left out; in JSON as JSON has it.
    const shown = (...args: readonly string[]) =>
      written[commandLines.findIndex((line) => line.join(' ') === args.join(' '))];
    for (const line of [
      ['status'],
      ['explain', hostile],
      ['groups', 'alice'],
      ['changes'],
      ['removals', 'list'],
    ])
      expect(shown(...line)).toContain('evil\\u{1b}]0;owned\\u{7}');
    for (const line of [
      ['status', '--json'],
      ['changes', '--json'],
      ['fetch', 'alice'],
    ])
      expect(shown(...line)).toContain('\\u009b32m');
  }, 120_000);

  test('in verify’s differences too', async () => {
    await sql`update mirror.friend_group set group_name = group_name || '?' where removed_at is null`.execute(
      world.db,
    );
    const [reported = '', json = ''] = await writtenBy([['verify'], ['verify', '--json']]);
    expect(reported).toContain('+ evil\\u{1b}]0;owned\\u{7}');
    expect(json).toContain('\\u009b32m');
    expect(obeyed.exec(reported + json)).toBeNull();
  });
});

describe('JSON that is printed', () => {
  test('means what it meant', async () => {
    const { stdout } = await runCommand(['groups', 'alice', '--json'], env).ended;
    expect(JSON.stringify(JSON.parse(stdout))).toContain(JSON.stringify(hostile).slice(1, -1));
  });

  test('as a line of the log holds no order either, also where a person reads the text of it', () => {
    const lines: string[] = [];
    const log = createLogger({
      level: 'info',
      scrubber: createScrubber(),
      destination: { write: (line) => void lines.push(line) },
    });
    log.info({ account: hostile, err: new Error(hostile) }, hostile);
    const [line = ''] = lines;
    expect(obeyed.exec(line)).toBeNull();
    expect(JSON.parse(line)).toMatchObject({ account: hostile, msg: hostile });
    const shown = JSON.parse(withoutOrders(line));
    expect(obeyed.exec(shown.msg)).toBeNull();
    expect(obeyed.exec(shown.err.message)).toBeNull();
    expect(shown.msg).toContain('evil\\u001b]0;owned\\u0007');
    expect(JSON.parse(withoutOrders(JSON.stringify({ path: 'C:\\u001b', lines: 'a\nb' })))).toEqual({
      path: 'C:\\u001b',
      lines: 'a\nb',
    });
  });
});
