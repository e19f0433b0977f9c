import pg from 'pg';

/** Where a URL of Postgres leads, for people: host, port and database, without user and password. */
export function placeOfDatabase(url: string): string {
  const { host, port, database = '' } = new pg.Client({ connectionString: url });
  return `${host.includes(':') ? `[${host}]` : host}:${port}, database ${database},`;
}
