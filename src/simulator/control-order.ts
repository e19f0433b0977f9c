import { z } from 'zod';
import { faultNames } from './faults.ts';
import { readings } from './group-api.ts';

const text = z.string();
const members = z.array(z.string());

const change = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('add_group'), group: text, members: members.optional() }),
  z.object({ kind: z.literal('remove_group'), group: text }),
  z.object({ kind: z.literal('rename_group'), group: text, to: text }),
  z.object({ kind: z.literal('add_members'), group: text, members }),
  z.object({ kind: z.literal('remove_members'), group: text, members }),
  z.object({ kind: z.literal('move_member'), group: text, to: text, member: text }),
  z.object({ kind: z.literal('clear') }),
]);

const fault = z.object({
  kind: z.union([z.enum(faultNames), z.int()]),
  probability: z.number().min(0).max(1),
});

/** What can be asked of a running simulator at `POST /control`, for which the vendor has no call. */
export const controlOrder = z.discriminatedUnion('do', [
  z.object({ do: z.literal('change'), account: text, change }),
  z.object({ do: z.literal('add_account'), account: text }),
  z.object({ do: z.literal('remove_account'), account: text }),
  z.object({ do: z.literal('set_sequence'), account: text, sequence: z.int().nonnegative() }),
  z.object({ do: z.literal('set_faults'), faults: z.array(fault) }),
  z.object({ do: z.literal('set_reading'), reading: z.enum(readings) }),
  z.object({ do: z.literal('set_secret_key'), key: text.min(1) }),
]);
export type ControlOrder = z.infer<typeof controlOrder>;
