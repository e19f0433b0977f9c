import { assertSchema } from '../../db/migrate.ts';
import { explainAccount, formatExplanation } from '../../src/status/explain-account.ts';
import { CommandError } from '../command-error.ts';
import { chooseApp, readEnvironment, withDatabase } from '../environment.ts';

/** `explain <account> [--json]` */
export async function explainCommand(
  accountId: string,
  options: { readonly app?: number; readonly json?: boolean },
): Promise<void> {
  const environment = readEnvironment(['app', 'database']);
  const { appId } = chooseApp(environment.config, options.app);
  await withDatabase(environment, async (db) => {
    await assertSchema(db);
    const explanation = await explainAccount(db, appId, accountId);
    if (explanation === undefined) {
      throw new CommandError(
        `${accountId} is not enrolled; enrol it with: tim-mirror accounts add ${accountId}`,
      );
    }
    process.stdout.write(
      options.json === true ? `${JSON.stringify(explanation)}\n` : formatExplanation(explanation),
    );
  });
}
