/** The variables, as `--help` shows them. */
export const environmentHelp = `
Environment (each secret also as NAME_FILE, the path of a file that holds it):
  TIM_SDK_APP_ID, TIM_SECRET_KEY   the app and its key, from the vendor’s console
  TIM_ADMIN                        administrator of the app (administrator)
  TIM_REGION or TIM_ENDPOINT       cn, sg, kr, jp, de, us, id, in; or a URL (cn)
  TIM_CALLS_PER_SECOND             1 to 199; the vendor’s limit of 200 is shared by all the app does (190)
  TIM_APPS_FILE                    several apps, instead of the above
  DATABASE_URL                     postgres://user@host:5432/database; ?sslmode=… as with libpq,
                                   &sslrootcert=<file> for a CA of yours
  DATABASE_DIRECT_URL              Postgres past the pooler, where DATABASE_URL names one
  REDIS_URL                        redis://host:6379; without it one process only. Also redis+cluster://host1:6379,host2:6379
                                   and redis+sentinel://host1:26379,host2:26379/master-name; rediss… for TLS
  HTTP_HOST, HTTP_PORT             where HTTP is answered (127.0.0.1, 8080)
  HTTP_ALLOWED_HOSTS               names under which the page may be asked for with the token, without ports (any)
  ADMIN_TOKEN                      asked for by all of it but probes and metrics; set it behind any proxy
  WEBHOOK_TOKEN                    what the vendor signs its callbacks with; without it none are taken
  WEBHOOK_ALLOW_UNSIGNED           true: programs of this machine may call back without a signature (false)
  DISCOVER_ACCOUNTS                true: accounts that callbacks and answers name are enrolled (false)
  DISCOVER_ACCOUNTS_PER_HOUR       of an app, those that callbacks name (1000)
  POLL_MIN_INTERVAL, POLL_MAX_INTERVAL, FULL_READ_INTERVAL   (10s, 24h, 7d)
  ACCOUNTS_SOURCE_URL, ACCOUNTS_QUERY   a Postgres of yours and the select that names the accounts, read by the
                                   daemon every ACCOUNTS_SYNC_INTERVAL (1h) and by accounts sync
  HISTORY_RETENTION                how long the past is kept (none: for ever)
  HTTPS_PROXY, NO_PROXY            a proxy for calls to the vendor, and hosts that are called without it
  LOG_LEVEL                        trace, debug, info, warn, error, fatal, silent (info)
`;
