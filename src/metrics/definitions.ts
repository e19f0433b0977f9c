import { freshnessSeconds } from '../status/freshness-seconds.ts';

/** Every metric of the daemon by what it is: names end in units, and no label holds an account. */

/** From a call that is at once to one that times out. */
const callSeconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15];
/** From a token that lies ready to a pause that the vendor has asked for. */
const waitSeconds = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Around the milliseconds after which a slot is given up. */
const lateSeconds = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128];

/** What this process has done. */
export const counters = {
  calls: {
    name: 'tim_mirror_calls_total',
    help: 'HTTP attempts of this process by how they ended: answered, or the kind of error.',
    labelNames: ['app', 'outcome'],
  },
  polls: {
    name: 'tim_mirror_polls_total',
    help: 'Polls of this process by what came of them; postponed ones had no memory for a large answer.',
    labelNames: ['app', 'outcome'],
  },
  failures: {
    name: 'tim_mirror_failures_total',
    help: 'Polls of this process that failed, by class; docs/operations.md says what to do about each.',
    labelNames: ['app', 'class'],
  },
  missed: {
    name: 'tim_mirror_missed_slots_total',
    help: 'Moments to send a call that came too late to be used: too little processor, or a slow Redis.',
    labelNames: ['app'],
  },
  refusedWrites: {
    name: 'tim_mirror_refused_writes_total',
    help: 'Writes of polls that Postgres refused this process, by class of SQLSTATE; network without an answer, program for an error of the daemon.',
    labelNames: ['app', 'sqlstate'],
  },
  changes: {
    name: 'tim_mirror_changes_total',
    help: 'Changes this process has written to the feed, by kind.',
    labelNames: ['app', 'kind'],
  },
  callbacks: {
    name: 'tim_mirror_callbacks_total',
    help: 'Callbacks of the vendor that this process has taken, by kind.',
    labelNames: ['app', 'kind'],
  },
  compared: {
    name: 'tim_mirror_comparisons_total',
    help: 'Accounts that this process has compared with the vendor, by how that came out: equal, stale or wrong.',
    labelNames: ['app', 'outcome'],
  },
  shortResponses: {
    name: 'tim_mirror_short_responses_total',
    help: 'Answers that listed fewer friends than they counted; what they left out was read a second time before it was removed.',
    labelNames: ['app'],
  },
  refusedJobs: {
    name: 'tim_mirror_refused_jobs_total',
    help: 'Jobs of another installation that this process has found in its queues and refused. There must be none.',
    labelNames: ['queue'],
  },
  refusedCallbacks: {
    name: 'tim_mirror_refused_callbacks_total',
    help: 'Callbacks that this process has refused: not signed, of an app that it does not mirror, or not well-formed.',
    labelNames: [],
  },
  droppedLogLines: {
    name: 'tim_mirror_dropped_log_lines_total',
    help: 'Lines of the log that this process has dropped, because those before them were not read.',
    labelNames: [],
  },
  forgottenHints: {
    name: 'tim_mirror_forgotten_hints_total',
    help: 'Accounts named by callbacks that found no room, because this many came at once; they wait for their turn.',
    labelNames: ['app'],
  },
} as const;

/** How long this process took for it. */
export const histograms = {
  callDuration: {
    name: 'tim_mirror_call_duration_seconds',
    help: 'From sending a call to its end.',
    labelNames: ['app'],
    buckets: callSeconds,
  },
  tokenWait: {
    name: 'tim_mirror_token_wait_seconds',
    help: 'How long calls waited for their token.',
    labelNames: ['app'],
    buckets: waitSeconds,
  },
  slotLateness: {
    name: 'tim_mirror_slot_lateness_seconds',
    help: 'How long after the moment that a call was allowed this process came to send it, or gave the moment up.',
    labelNames: ['app'],
    buckets: lateSeconds,
  },
  pollDuration: {
    name: 'tim_mirror_poll_duration_seconds',
    help: 'From taking up an account to knowing what came of it; waiting for tokens included.',
    labelNames: ['app'],
    buckets: callSeconds,
  },
  batchDuration: {
    name: 'tim_mirror_batch_duration_seconds',
    help: 'How long a job of the poll queue took.',
    labelNames: ['app'],
    buckets: callSeconds,
  },
} as const;

/** How this process is. */
export const processGauges = {
  build: {
    name: 'tim_mirror_build_info',
    help: 'Always 1; the labels say which version this process is, of which commit, and on which Node.',
    labelNames: ['version', 'commit', 'node'],
  },
  peakCalls: {
    name: 'tim_mirror_peak_calls_per_second',
    help: 'The most calls that this process has sent in any sliding second of the last minute.',
    labelNames: ['app'],
  },
  limit: {
    name: 'tim_mirror_limit_calls_per_second',
    help: 'What all processes together may send: TIM_CALLS_PER_SECOND.',
    labelNames: ['app'],
  },
  loopAge: {
    name: 'tim_mirror_loop_age_seconds',
    help: 'Since each loop of this process last came round.',
    labelNames: ['loop'],
  },
  unready: {
    name: 'tim_mirror_unready_seconds',
    help: 'For how long postgres, redis or schema has not been well, as this process sees it; 0 when it is.',
    labelNames: ['part'],
  },
  poolConnections: {
    name: 'tim_mirror_postgres_pool_connections',
    help: 'Connections of this process to Postgres.',
    labelNames: ['state'],
  },
  poolWaiting: {
    name: 'tim_mirror_postgres_pool_waiting_statements',
    help: 'Statements of this process that wait for a connection to Postgres.',
    labelNames: [],
  },
  answerBytes: {
    name: 'tim_mirror_response_bytes',
    help: 'Bytes of answers of the vendor that this process holds, from their first byte until they are written.',
    labelNames: [],
  },
  responsesWaiting: {
    name: 'tim_mirror_waiting_responses',
    help: 'Answers that have begun to arrive, and wait until there is memory for them.',
    labelNames: [],
  },
  redisEvicted: {
    name: 'tim_mirror_redis_evicted_keys',
    help: 'Keys that Redis has evicted since it was started. It must never evict any.',
    labelNames: [],
  },
} as const;

/** How the mirror is: the same from every process, so take the maximum over them. Those of large mirrors are estimated from a sample. */
export const databaseGauges = {
  accounts: {
    name: 'tim_mirror_accounts',
    help: 'Enrolled accounts by status.',
    labelNames: ['app', 'status'],
  },
  backlog: {
    name: 'tim_mirror_backlog_accounts',
    help: 'Accounts that wait: never_polled, or overdue by the polling policy.',
    labelNames: ['app', 'reason'],
  },
  oldestAge: {
    name: 'tim_mirror_oldest_age_seconds',
    help: 'Since the state of the oldest active account was proved.',
    labelNames: ['app'],
  },
  failing: {
    name: 'tim_mirror_failing_accounts',
    help: 'Accounts whose last poll failed and that will be tried again.',
    labelNames: ['app'],
  },
  heldAccounts: {
    name: 'tim_mirror_held_removal_accounts',
    help: 'Accounts whose removals are held until an operator has looked.',
    labelNames: ['app'],
  },
  held: {
    name: 'tim_mirror_removals_held_seconds',
    help: 'For how long removals of the app have been held; 0 when they are not.',
    labelNames: ['app'],
  },
  halted: {
    name: 'tim_mirror_halted_seconds',
    help: 'For how long the vendor has refused the app; 0 when it does not.',
    labelNames: ['app'],
  },
  dispatched: {
    name: 'tim_mirror_dispatch_age_seconds',
    help: 'Since any process last claimed accounts of the app.',
    labelNames: ['app'],
  },
  accuracy: {
    name: 'tim_mirror_accuracy_ratio',
    help: 'Share of accounts, compared at random in seven days, that were right, and that were in sync.',
    labelNames: ['app', 'measure'],
  },
  compared: {
    name: 'tim_mirror_compared_accounts',
    help: 'Accounts compared with the vendor in seven days.',
    labelNames: ['app'],
  },
  wrong: {
    name: 'tim_mirror_wrong_accounts',
    help: 'Accounts found to be wrong today or yesterday that no operator has acknowledged.',
    labelNames: ['app'],
  },
  sourceAge: {
    name: 'tim_mirror_accounts_sync_age_seconds',
    help: 'Since the source of accounts was last read to its end; reported where an app has one.',
    labelNames: ['app'],
  },
  sourceFailing: {
    name: 'tim_mirror_accounts_sync_failing_seconds',
    help: 'For how long syncs with the source of accounts have failed; 0 when they do not, or none has been tried for two days.',
    labelNames: ['app'],
  },
  named: {
    name: 'tim_mirror_accounts_sync_named_accounts',
    help: 'Accounts that the source named when it was last read to its end.',
    labelNames: ['app'],
  },
  vanished: {
    name: 'tim_mirror_accounts_sync_vanished_accounts',
    help: 'Enrolled accounts that the source has named and names no more.',
    labelNames: ['app'],
  },
  missing: {
    name: 'tim_mirror_missing_changes',
    help: 'Changes that the vendor has and the tables have not, estimated from how accounts change.',
    labelNames: ['app'],
  },
  delay: {
    name: 'tim_mirror_change_delay_seconds',
    help: 'From a change to the tables, on average, estimated: as achieved, and as round robin would give at this budget.',
    labelNames: ['app', 'schedule'],
  },
  missingMonths: {
    name: 'tim_mirror_feed_missing_months',
    help: 'Months, this one and three ahead, for which the change feed lacks a table; the same for all apps.',
    labelNames: ['app'],
  },
  figuresAge: {
    name: 'tim_mirror_figures_age_seconds',
    help: 'Since the figures of the mirror were last read from Postgres.',
    labelNames: [],
  },
} as const;

/** The ages of active accounts at this moment: a snapshot, so no rate of it makes sense. */
export const freshness = {
  name: 'tim_mirror_freshness_seconds',
  help: 'Active accounts by how long ago their state was proved (now - verified_at); a snapshot.',
  labelNames: ['app'],
  buckets: [...freshnessSeconds],
} as const;
