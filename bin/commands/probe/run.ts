import { type ProbeRead, probeSequence } from '../../../src/audit/probe-sequence.ts';
import { jsonText } from '../../../src/terminal/json-text.ts';
import { chooseApp, readEnvironment } from '../../environment.ts';
import { withVendor } from '../../vendor.ts';

/** `probe <account> [--json]` */
export async function probeCommand(
  accountId: string,
  options: { readonly app?: number; readonly json?: boolean },
): Promise<void> {
  const environment = readEnvironment(['app', 'credentials']);
  const app = chooseApp(environment.config, options.app);
  const report = await withVendor(environment, app, ({ client, stop }) =>
    probeSequence(client, accountId, stop),
  );
  if (options.json === true) {
    process.stdout.write(`${jsonText(report)}\n`);
    return;
  }
  const { reading, reasons, consequences } = report.finding;
  const lines = [
    row({ asked: 'asked with', sequence: 'sequence', groups: 'groups', members: 'members', bytes: 'bytes' }),
    ...report.reads.map(row),
    '',
    `Finding: ${findings[reading]}`,
    ...reasons.map((reason) => `  ${reason}`),
    ...(consequences.length > 0 ? ['What it means:', ...consequences.map((line) => `  ${line}`)] : []),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

const findings = {
  full: 'full. An older sequence brings everything, the current one nothing.',
  changed: 'changed. An older sequence brings only the groups that changed since.',
  ignored: 'ignored. The vendor does not look at the sequence and always sends everything.',
  unclear: 'unclear. This account does not show it.',
} as const;

function row(read: { [Key in keyof ProbeRead]: ProbeRead[Key] | string }): string {
  const figures = [read.sequence, read.groups, read.members, read.bytes];
  return `${String(read.asked).padEnd(30)}${figures.map((figure) => String(figure).padStart(10)).join('')}`;
}
