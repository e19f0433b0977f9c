/** How long the statements of a session may take, and how long a transaction may be idle. */
export interface SessionLimits {
  /** After this long without an answer the program ends the session: Postgres, or what lies between, has fallen silent. */
  readonly silentMs: number;
  /** After this long Postgres cancels a statement and the session stays; 0 for no such limit. */
  readonly statementMs: number;
  /**
   * After this long Postgres ends a session that is idle in a transaction; 0 for no such limit. A session whose
   * network has vanished would otherwise keep its locks until TCP gives up, after two hours.
   */
  readonly idleInTransactionMs: number;
}

/** Of the daemon's statements about accounts. The longest, a claim at ten million accounts, takes a second. */
export const pollLimits: SessionLimits = {
  silentMs: 30_000,
  statementMs: 25_000,
  idleInTransactionMs: 20_000,
};

/** Of the daemon's upkeep: counting a line, deleting what is old, and syncing accounts read whole tables. */
export const upkeepLimits: SessionLimits = {
  silentMs: 900_000,
  statementMs: 0,
  idleInTransactionMs: 60_000,
};

/** Of commands: a reader of their output may keep a transaction open for as long as it likes. */
export const commandLimits: SessionLimits = {
  silentMs: 1_800_000,
  statementMs: 0,
  idleInTransactionMs: 0,
};

/** Of migrations: an index takes as long as its table is large, and the lock is idle meanwhile. */
export const migrationLimits: SessionLimits = {
  silentMs: 0,
  statementMs: 0,
  idleInTransactionMs: 0,
};
