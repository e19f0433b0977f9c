import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Linux counts processor time in hundredths of a second, whatever the kernel's own tick. */
const msPerTick = 10;

interface ProcessTime {
  readonly parent: number;
  readonly ownMs: number;
  /** Of children that have ended. */
  readonly childrenMs: number;
}

/** Processor time of a Postgres server and all its backends, those that have ended too; undefined where there is no /proc. */
export function postgresCpuMs(folder: string): number | undefined {
  const postmaster = Number(readFileSync(join(folder, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
  const server = timeOf(String(postmaster));
  if (server === undefined) return undefined;
  const backends = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => timeOf(name) ?? [])
    .filter(({ parent }) => parent === postmaster);
  return backends.reduce((sum, { ownMs }) => sum + ownMs, server.ownMs + server.childrenMs);
}

function timeOf(pid: string): ProcessTime | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in brackets, which may itself hold blanks and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = (from: number) => (Number(fields[from]) + Number(fields[from + 1])) * msPerTick;
    return { parent: Number(fields[1]), ownMs: ticks(11), childrenMs: ticks(13) };
  } catch {
    return undefined;
  }
}
