import pg from 'pg';
import type { SeedAccount } from '../support/seed-mirror.ts';
import type { SimpleAnswer } from './simple-caller.ts';

/** The obvious tables, and the obvious way to bring one account up to date. */
interface SimpleStore {
  /** The accounts that were polled longest ago. */
  next(limit: number): Promise<readonly { accountId: string; sequence: number }[]>;
  /** One transaction: the account, and where its sequence has moved, upserts and delete-not-in. */
  store(accountId: string, before: number, answer: SimpleAnswer): Promise<void>;
}

/** Makes the tables, and fills them with what has been read before. */
export async function createSimpleStore(
  databaseUrl: string,
  accounts: readonly SeedAccount[],
  maxConnections: number,
): Promise<SimpleStore> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: maxConnections });
  await pool.query(`
    create table account (account_id text primary key, sequence bigint not null default 0, polled_at timestamptz);
    create index on account (polled_at nulls first);
    create table friend_group (
      account_id text, group_name text, friend_number integer not null, primary key (account_id, group_name)
    );
    create table friend_group_member (
      account_id text, group_name text, friend_id text, primary key (account_id, group_name, friend_id)
    );
  `);
  await pool.query('insert into account select *, now() from unnest($1::text[], $2::bigint[])', [
    accounts.map(({ id }) => id),
    accounts.map(({ sequence }) => sequence),
  ]);
  await pool.query(
    `with reported as materialized (
       select account_id, name, number, members
       from json_to_recordset($1) as reported (account_id text, name text, number integer, members text[])
     ), groups as (insert into friend_group select account_id, name, number from reported)
     insert into friend_group_member select account_id, name, unnest(members) from reported`,
    [JSON.stringify(accounts.flatMap(groupsOf))],
  );
  await pool.query('vacuum analyze');

  async function replace(client: pg.PoolClient, accountId: string, answer: SimpleAnswer): Promise<void> {
    const groups = answer.ResultItem ?? [];
    const names = groups.map((group) => group.GroupName);
    const numbers = groups.map((group) => group.FriendNumber);
    const members = groups.flatMap((group) =>
      (group.To_Account ?? []).map((friend) => [group.GroupName, friend]),
    );
    const memberships = [members.map(([name]) => name), members.map(([, friend]) => friend)];
    await client.query(
      `insert into friend_group select $1, * from unnest($2::text[], $3::integer[])
       on conflict (account_id, group_name) do update set friend_number = excluded.friend_number`,
      [accountId, names, numbers],
    );
    await client.query('delete from friend_group where account_id = $1 and group_name <> all ($2)', [
      accountId,
      names,
    ]);
    await client.query(
      `insert into friend_group_member select $1, * from unnest($2::text[], $3::text[]) on conflict do nothing`,
      [accountId, ...memberships],
    );
    await client.query(
      `delete from friend_group_member where account_id = $1
       and (group_name, friend_id) not in (select * from unnest($2::text[], $3::text[]))`,
      [accountId, ...memberships],
    );
  }

  return {
    async next(limit) {
      const { rows } = await pool.query<{ account_id: string; sequence: string }>(
        'select account_id, sequence from account order by polled_at nulls first limit $1',
        [limit],
      );
      return rows.map((row) => ({ accountId: row.account_id, sequence: Number(row.sequence) }));
    },
    async store(accountId, before, answer) {
      const client = await pool.connect();
      try {
        await client.query('begin');
        await client.query(
          'update account set sequence = $2, polled_at = clock_timestamp() where account_id = $1',
          [accountId, answer.CurrentSequence],
        );
        if (answer.CurrentSequence !== before) await replace(client, accountId, answer);
        await client.query('commit');
      } finally {
        client.release();
      }
    },
  };
}

function groupsOf({ id, groups }: SeedAccount) {
  return groups.map(({ name, friendNumber, members }) => ({
    account_id: id,
    name,
    number: friendNumber,
    members,
  }));
}
