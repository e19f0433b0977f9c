import { type Activity, refusedClassOf } from '../../db/queries/activity.ts';

/** Writes that Postgres refused, of one class of SQLSTATE, and what to do about them. */
export interface RefusedWrites {
  /** Two characters; `network` without an answer, `program` for an error of the daemon. */
  readonly sqlstate: string;
  /** In the last 15 minutes. */
  readonly writes: number;
  readonly advice: string;
}

const advice: Readonly<Record<string, string>> = {
  network: 'Nothing, unless it lasts: connections to Postgres break, and every account keeps its place.',
  program:
    'Report it to the makers. `tim-mirror explain` has the error’s message, and the log at level debug its stack.',
  '08': 'Nothing, unless it lasts: connections to Postgres or to a pooler break.',
  '0A': 'Postgres can’t do what is asked of it here: look for triggers, rules and extensions on schema mirror.',
  '22': 'Postgres can’t hold a value: `tim-mirror status --quarantined` lists the accounts.',
  '23': 'A constraint refuses rows: look for one on schema mirror that no migration made.',
  '25': 'The server only reads, or breaks transactions off: is DATABASE_URL a standby, or a timeout very short?',
  '28': 'The server does not let the user in: check the password and pg_hba.conf.',
  '3D': 'The database is not there: check DATABASE_URL.',
  '40': 'Nothing, unless it lasts: transactions met. Look for others that write to schema mirror.',
  '42': 'A right is missing, or a table is not what the migrations made: run `tim-mirror migrate` as its owner.',
  '53': 'Make room: the disk is full, or memory or connections have run out.',
  '54': 'A limit of Postgres is exceeded: `tim-mirror status --quarantined` lists the accounts.',
  '55': 'Something on schema mirror refuses writes, such as a publication, or a lock that another session holds; “reason” has Postgres’ words.',
  '57': 'Statements are cancelled: is a statement_timeout shorter than the largest account takes? After a restart, nothing.',
  '58': 'The operating system fails Postgres: look at its disk and its log.',
  XX: 'Postgres has found a fault of its own, perhaps damaged data: look at its log at once.',
};
const otherwise = 'Look at “reason” for Postgres’ words, and at what others have added to schema mirror.';

/** The refused writes of an app among what happened, the most frequent class first. */
export function refusedWritesOf(activities: readonly Activity[], appId: number): readonly RefusedWrites[] {
  return activities
    .flatMap((activity) => {
      const sqlstate = activity.appId === appId ? refusedClassOf(activity.event) : undefined;
      return sqlstate === undefined
        ? []
        : [{ sqlstate, writes: activity.count, advice: advice[sqlstate] ?? otherwise }];
    })
    .toSorted((a, b) => b.writes - a.writes);
}
