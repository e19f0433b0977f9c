import { z } from 'zod';

/** What a callback of the vendor's says. There is none for changes of friend groups: it can only hint. */
export type Callback =
  /** Something has happened to these accounts. */
  | { readonly kind: 'friends' | 'state'; readonly accounts: readonly string[] }
  /** Calls of `command` have come near the app's limit, or gone beyond it; figures in calls a second. */
  | {
      readonly kind: 'over_limit';
      readonly command: string | undefined;
      readonly calls: number | undefined;
      readonly limit: number | undefined;
    }
  /** One that says nothing of friend groups. */
  | { readonly kind: 'other' };

/** What the vendor expects as an answer, within two seconds. */
export const callbackAnswer = { ActionStatus: 'OK', ErrorCode: 0, ErrorInfo: '' } as const;

const pairs = z.object({
  PairList: z.array(z.object({ From_Account: z.string().nullish(), To_Account: z.string().nullish() })),
});
const state = z.object({ Info: z.object({ To_Account: z.string() }) });
const alert = z.object({
  ServiceName: z.string().nullish(),
  Command: z.string().nullish(),
  Request: z.number().nonnegative().nullish(),
  Limit: z.number().positive().nullish(),
});

/** Reads the body of a callback named `command`; undefined when it is not what the vendor's pages promise. */
export function parseCallback(command: string, body: unknown): Callback | undefined {
  if (command === 'State.StateChange') {
    const reported = state.safeParse(body).data;
    return reported && { kind: 'state', accounts: [reported.Info.To_Account] };
  }
  if (command === 'Alert.RequestOverLimit') {
    const reported = alert.safeParse(body).data;
    return (
      reported && {
        kind: 'over_limit',
        command:
          reported.ServiceName && reported.Command
            ? `${reported.ServiceName}/${reported.Command}`
            : undefined,
        calls: reported.Request ?? undefined,
        limit: reported.Limit ?? undefined,
      }
    );
  }
  if (!command.startsWith('Sns.')) return { kind: 'other' };
  // Friends made, unmade or blocked. Other events of the same service name other fields.
  const reported = pairs.safeParse(body).data;
  if (reported === undefined)
    return typeof body === 'object' && body !== null ? { kind: 'other' } : undefined;
  const ends = reported.PairList.flatMap((pair) => [pair.From_Account, pair.To_Account]);
  return { kind: 'friends', accounts: [...new Set(ends.filter((id) => typeof id === 'string'))] };
}
