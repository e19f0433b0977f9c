/** What went wrong, by what has to be done about it. */
export type TencentErrorKind =
  /** Every caller of the app pauses; not the account's fault. */
  | 'rate_limited'
  /** The account is tried again later. */
  | 'transient'
  /** The signature ran out; the client makes a new one once before this reaches a caller. */
  | 'signature_expired'
  /** Hits every account: the app is halted until an operator fixes the credentials. */
  | 'credentials'
  /** Hits every account: the app is halted until an operator fixes the configuration. */
  | 'configuration'
  /** This account does not exist at the vendor. */
  | 'account_not_found'
  /** The vendor will never answer this request: the account is quarantined. */
  | 'bad_request'
  /** An answer that is JSON but not what the API promises. */
  | 'malformed_response'
  /** A name or id that Postgres cannot hold. */
  | 'unstorable'
  /** An unknown code. */
  | 'unknown';

type CodeRange = number | readonly [first: number, last: number];

/** The vendor's codes by what to do about them (private codes 30xxx of the page, common codes 60xxx–79xxx). */
export const errorCodes = {
  rate_limited: [60007, 60011, 60018, 60019, 60022],
  transient: [30006, 30007, 30008, 40006, 60008, 60013, 60014, 70169, 70202, 70500],
  signature_expired: [70001],
  credentials: [
    30004, 60004, 60005, 60010, 70002, 70003, 70005, 70009, 70013, 70014, 70050, 70051, 70052, 70114, 70403,
  ],
  configuration: [30002, 60006, 60009, 60012, 60016, 60017, 60020, 60021, 70016, 70020, 70398, 70399, 71000],
  account_not_found: [30003, 31804, 40003, 70107],
  bad_request: [30001, 30005, [30009, 30014], 31704, 32216, 60002, 60003, 60015, 70206, 70402],
} as const satisfies Partial<Record<TencentErrorKind, readonly CodeRange[]>>;

/** The kind of a vendor's error code; `unknown` for one that is in no table. */
export function kindOfCode(code: number): TencentErrorKind {
  for (const [kind, ranges] of Object.entries(errorCodes)) {
    const listed = (ranges as readonly CodeRange[]).some((range) =>
      typeof range === 'number' ? range === code : code >= range[0] && code <= range[1],
    );
    if (listed) return kind as keyof typeof errorCodes;
  }
  return 'unknown';
}

/** HTTP statuses that pass by themselves; any other than 200 means that something else than the vendor answered. */
export function kindOfStatus(status: number): TencentErrorKind {
  return status === 408 || status === 429 || status >= 500 ? 'transient' : 'configuration';
}

interface TencentErrorDetails {
  readonly kind: TencentErrorKind;
  /** The vendor's ErrorCode, the HTTP status, or 0 when there was no answer. */
  readonly code: number;
  /** Postgres' time in milliseconds at which the request left; absent when the vendor did not answer. */
  readonly sentAt?: number;
}

/** A call that brought no usable answer. The message never holds a URL, a signature or a key. */
export class TencentError extends Error {
  override readonly name = 'TencentError';
  readonly kind: TencentErrorKind;
  readonly code: number;
  readonly sentAt: number | undefined;

  constructor(message: string, details: TencentErrorDetails) {
    super(message);
    this.kind = details.kind;
    this.code = details.code;
    this.sentAt = details.sentAt;
  }
}

/** Whether an error hits every account of the app, until an operator fixes what `remedyFor` names. */
export function isAppRefused({ kind }: TencentError): boolean {
  return kind === 'credentials' || kind === 'configuration';
}

/** One sentence for the operator: what to do about an app that is halted with this code. */
export function remedyFor(kind: string, code: number): string {
  const special = remedies[code];
  if (special !== undefined) return special;
  return kind === 'credentials'
    ? 'Compare TIM_SDK_APP_ID, TIM_SECRET_KEY and TIM_ADMIN with the vendor’s console.'
    : 'Compare TIM_SDK_APP_ID, TIM_REGION and TIM_ENDPOINT with the vendor’s console, and see that the app is in service.';
}

const remedies: Readonly<Record<number, string>> = {
  30004: 'TIM_ADMIN must name an administrator of the app; the vendor’s console lists them.',
  60010: 'TIM_ADMIN must name an administrator of the app; the vendor’s console lists them.',
  70001: 'The signature counts as expired although it is new: check the clock of this machine.',
  70003: 'The signature is refused: TIM_SECRET_KEY does not belong to TIM_SDK_APP_ID.',
  70009: 'The signature is refused: TIM_SECRET_KEY does not belong to TIM_SDK_APP_ID.',
  70013: 'The signature names another administrator: check TIM_ADMIN.',
  70014: 'The signature names another app: check TIM_SDK_APP_ID and TIM_SECRET_KEY.',
  70020:
    'The app is unknown at this endpoint: check TIM_SDK_APP_ID, and TIM_REGION against the app’s region.',
};
