/** Decides which accounts are polled next. Times in seconds, accounts by number. */
export interface Policy {
  /** An account begins to exist; nothing of it has been read. */
  enrol(account: number, at: number): void;
  /** Puts up to `places` accounts to poll now into `claimed`, and returns how many. */
  claim(at: number, places: number, claimed: Int32Array): number;
  /** A poll showed this many changes. */
  answered(account: number, at: number, changes: number): void;
  failed(account: number, at: number): void;
  /** The account's true rate, in changes a day, is another from now on: only an oracle looks. */
  rateChanged?(account: number, rate: number): void;
}

/** What a policy is made for. */
export interface PolicyWorld {
  /** How many accounts there will ever be. */
  readonly size: number;
  readonly callsPerSecond: number;
  readonly minIntervalSeconds: number;
  readonly maxIntervalSeconds: number;
  /** Changes a day at the start or when an account joins: only an oracle looks. */
  readonly firstRate: Float64Array;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}
