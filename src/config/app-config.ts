import type { AccountSource } from '../../db/source-rows.ts';
import type { Proxies } from './proxies.ts';

/** One Tencent Cloud IM application: with its own queues, bucket and budget. */
export interface AppConfig {
  readonly appId: number;
  /** Absent where a command needs no call to the vendor. */
  readonly secretKey: string | undefined;
  /** The app administrator on whose behalf the calls are made. */
  readonly admin: string;
  /** Origin of the vendor's API, e.g. `https://console.tim.qq.com`. */
  readonly origin: string;
  readonly callsPerSecond: number;
  /** On the way to the vendor; undefined where none is set. */
  readonly proxies?: Proxies | undefined;
  /** The query that names the app's accounts; undefined where none is configured. */
  readonly accountSource?: AccountSource | undefined;
}

/** An app that may call the vendor. */
export type CallingAppConfig = AppConfig & { readonly secretKey: string };

/** Where variables come from and how `…_FILE` variables are read. */
export interface ConfigSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => string;
}
