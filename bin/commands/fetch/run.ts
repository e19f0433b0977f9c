import { groupGetRequest } from '../../../src/tencent/wire.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { chooseApp, readEnvironment } from '../../environment.ts';
import { withVendor } from '../../vendor.ts';

interface FetchCommand {
  readonly app?: number;
  readonly since?: number;
  readonly group?: readonly string[];
  readonly members: boolean;
}

/** `fetch <account>`: one call, its answer as it came, on standard output. Exit code 1 when the vendor reports an error. */
export async function fetchCommand(accountId: string, options: FetchCommand): Promise<void> {
  const environment = readEnvironment(['app', 'credentials']);
  const app = chooseApp(environment.config, options.app);
  await withVendor(environment, app, async ({ client, stop }) => {
    const body = groupGetRequest({
      accountId,
      lastSequence: options.since ?? 0,
      withMembers: options.members,
      ...(options.group === undefined ? {} : { groupNames: options.group }),
    });
    const answer = await client.callGroupGet(body, stop);
    process.stdout.write(`${environment.scrubber.scrubJson(jsonText(answer.body, 2))}\n`);
    if (answer.error !== undefined) throw answer.error;
  });
}
