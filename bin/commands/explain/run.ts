import { explainAccount, formatExplanation } from '../../../src/status/explain-account.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { printable } from '../../../src/terminal/printable.ts';
import { CommandError } from '../../command-error.ts';
import { withMirroredApp } from '../../environment.ts';

/** `explain <account> [--json]` */
export async function explainCommand(
  accountId: string,
  options: { readonly app?: number; readonly json?: boolean },
): Promise<void> {
  await withMirroredApp(options.app, async (db, appId) => {
    const explanation = await explainAccount(db, appId, accountId);
    if (explanation === undefined) {
      throw new CommandError(
        `${printable(accountId)} is not enrolled; enrol it with: tim-mirror accounts add ${printable(accountId)}`,
      );
    }
    process.stdout.write(
      options.json === true ? `${jsonText(explanation)}\n` : formatExplanation(explanation),
    );
  });
}
