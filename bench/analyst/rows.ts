import { groupNames } from '../../src/simulator/population.ts';

/** The app that the rows belong to. */
export const appId = 1_400_000_000;
/** The feed holds this many days, with a change a day and account. */
export const feedDays = 10;

/** The id of an account by its number, from 1. */
export const accountId = (number: number): string => `user-${String(number).padStart(8, '0')}`;

/** Chance in SQL, made from a number: in [0, 1), the same each time. */
const chance = (number: string, seed: number) =>
  `((hashint8extended(${number}, ${seed}) & 2147483647) / 2147483648.0)::float8`;
const accountText = (number: string) => `'user-' || lpad((${number})::text, 8, '0')`;
const names = `array[${groupNames.map((name) => `'${name.replaceAll("'", "''")}'`).join(',')}]`;

/** Numbers of rows, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * The statements that make accounts `from` to `to` of `accounts` with all they hold: up to six groups, one in five
 * hundred all 32; in a group ten members on average, of whom one in twenty has left within the last month. Some friends
 * are in many more groups than others, as far as a limit of 3,000 friends an account makes likely.
 */
export function accountStatements({ from, to }: Range, accounts: number): readonly string[] {
  const groups = `(case when n % 500 = 0 then 32 else floor(${chance('n', 1)} * 7) end)::integer`;
  const size = (key: string) => `floor(-ln(1 - ${chance(key, 2)}) * 10.6)::integer`;
  return [
    `insert into mirror.account (account_key, app_id, account_id, enrolled_at) overriding system value
     select n, ${appId}, ${accountText('n')}, now() - interval '400 days' from generate_series(${from}, ${to}) n`,
    `insert into mirror.poll_state (
       account_key, app_id, due_v, weight, change_mass, sequence, first_polled_at, verified_at, full_read_at,
       changed_at, claim_no, status, group_count, content_hash
     )
     select n, ${appId}, ${chance('n', 3)} * 100, 0.2 + ${chance('n', 4)}, ${chance('n', 5)}, n % 1000,
       now() - interval '400 days', now() - ${chance('n', 6)} * interval '3 hours',
       now() - ${chance('n', 7)} * interval '7 days', now() - ${chance('n', 8)} * interval '30 days',
       2000, 'active', ${groups}, decode(md5(n::text), 'hex')
     from generate_series(${from}, ${to}) n`,
    `insert into mirror.poll_outcome (account_key, claim_no, at, outcome, message)
     select n, number * 100, now() - number * interval '1 day', 'changed', '+1 member'
     from generate_series(${from}, ${to}) n, generate_series(1, 3) number`,
    `insert into mirror.friend_group (group_key, account_key, group_name, friend_number, added_at)
     overriding system value
     select key, n,
       case
         when i <= 32 and ${chance('key', 9)} < 0.8
           then (${names})[1 + (floor(32 * power(${chance('n', 10)}, 3))::integer + i) % 32]
         else 'list ' || (hashint8(key) & 65535) || ' ' || i
       end,
       size - (size + 13) / 20, now() - ${chance('key', 11)} * interval '365 days'
     from generate_series(${from}, ${to}) n, generate_series(1, ${groups}) i,
       lateral (select n::bigint * 40 + i as key) k, lateral (select ${size('key')} as size) s`,
    `insert into mirror.friend_group_member (group_key, friend_id, added_at, removed_at)
     select group_key,
       ${accountText(`1 + floor(${accounts} * power(mod((u + k * 0.6180339887)::numeric, 1)::float8, 1.3))::integer`)},
       added_at, case when k % 20 = 7 then greatest(added_at, now() - u * interval '30 days') end
     from mirror.friend_group, lateral (select ${chance('group_key', 12)} as u) c,
       generate_series(1, ${size('group_key')}) k
     where account_key between ${from} and ${to}`,
  ];
}

/** The statement that makes changes `from` to `to` of `changes`, in the order of time as they would come. */
export function changeStatement({ from, to }: Range, accounts: number, changes: number): string {
  return `
    insert into mirror.change (
      change_id, app_id, account_key, kind, group_name, friend_id, observed_at, sequence, tx_id
    )
    select m, ${appId}, 1 + (hashint8extended(m, 13) & 2147483647) % ${accounts},
      (case when m % 3 = 0 then 'member_removed' else 'member_added' end)::mirror.change_kind,
      (${names})[1 + (m % 32)::integer], ${accountText(`1 + m % ${accounts}`)},
      now() - ${feedDays} * interval '1 day' * (1 - m / ${changes}::float8), m % 1000,
      -- a young server has not had more transactions than these
      (3 + m * 600 / ${changes})::text::xid8
    from generate_series(${from}::bigint, ${to}) m`;
}
