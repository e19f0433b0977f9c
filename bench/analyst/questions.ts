import { accountId, appId } from './rows.ts';

/** A question as analysts ask it. */
export interface Question {
  readonly name: string;
  /** About one account or one person, or about everything. */
  readonly kind: 'filtered' | 'aggregate';
  /** The statement of the n-th query; each is about another account. */
  readonly text: (turn: number) => string;
}

/** The goal for a filtered question; an aggregate has none, its plan is printed. */
export const filteredGoalMs = 50;

/** The questions, for this many accounts. */
export function questionsOf(accounts: number): readonly Question[] {
  // Spread over all accounts, and of the friends neither the best known nor the least.
  const account = (turn: number) => `'${accountId(1 + ((turn * 7919 + 4711) % accounts))}'`;
  const bestKnown = `'${accountId(1)}'`;
  const yesterday = `now() - interval '1 day'`;
  const lastWeek = `now() - interval '7 days'`;
  const filtered = (name: string, text: Question['text']): Question => ({ name, kind: 'filtered', text });
  const aggregate = (name: string, text: string): Question => ({ name, kind: 'aggregate', text: () => text });
  const mine = (source: string, turn: number) =>
    `select * from tim.${source} where app_id = ${appId} and account_id = ${account(turn)}`;
  return [
    filtered('groups of an account', (turn) => mine('friend_groups', turn)),
    filtered('members of an account', (turn) => mine('friend_group_members', turn)),
    filtered('members of an account a week ago', (turn) =>
      mine(`friend_group_members_at(${lastWeek})`, turn),
    ),
    filtered('history of an account', (turn) => mine('friend_group_member_history', turn)),
    filtered(
      'changes of an account in the last day',
      (turn) => `${mine('changes', turn)} and observed_at > ${yesterday}`,
    ),
    filtered(
      'in whose groups an account is',
      (turn) =>
        `select account_id, group_name from tim.friend_group_members where app_id = ${appId} and friend_id = ${account(turn)}`,
    ),
    filtered(
      'in whose groups the best known friend is',
      () =>
        `select account_id, group_name from tim.friend_group_members where app_id = ${appId} and friend_id = ${bestKnown}`,
    ),
    filtered(
      'in whose groups an account was a week ago',
      (turn) =>
        `select account_id, group_name from tim.friend_group_members_at(${lastWeek}) where app_id = ${appId} and friend_id = ${account(turn)}`,
    ),
    filtered(
      'the next 1,000 lines of the feed',
      (turn) =>
        `select * from tim.changes where (tx_id, change_id) > ('${3 + turn * 20}'::xid8, 0)
         and tx_id < tim.feed_horizon() order by tx_id, change_id limit 1000`,
    ),
    aggregate(
      'most-used group names',
      'select group_name, count(*) from tim.friend_groups group by 1 order by 2 desc limit 20',
    ),
    aggregate(
      'who uses one group name',
      `select count(*) from tim.friend_groups where group_name = 'list 4711 2'`,
    ),
    aggregate(
      'sizes of groups, as the vendor counts',
      'select friend_number, count(*) from tim.friend_groups group by 1 order by 1',
    ),
    aggregate(
      'sizes of groups, counted',
      `select members, count(*) from (
         select app_id, account_id, group_name, count(*) as members
         from tim.friend_group_members group by 1, 2, 3
       ) sizes group by 1 order by 1`,
    ),
    aggregate(
      'friends who are in most groups',
      'select friend_id, count(*) from tim.friend_group_members group by 1 order by 2 desc limit 20',
    ),
    aggregate(
      'changes of the last day, by kind',
      `select kind, count(*) from tim.changes where observed_at > ${yesterday} group by 1`,
    ),
    aggregate('freshness', 'select * from tim.freshness'),
  ];
}
