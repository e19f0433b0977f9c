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
  rateChanged?(account: number, rate: number, onlineShare: number): void;
  /** A callback, or the vendor when it was asked, says that its user is online or not since `at`. */
  reported?(account: number, at: number, online: boolean, source: 'callback' | 'status'): void;
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
  /** The share of time online: only an oracle looks. */
  readonly firstShare: Float64Array;
  /** Of changes, by the app's backend: only an oracle looks. */
  readonly backendShare: number;
  readonly sessionSeconds: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}
