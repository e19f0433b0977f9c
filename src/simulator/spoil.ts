import type { FaultKind } from './faults.ts';
import { type Answer, failure, shorten } from './group-api.ts';

/** What goes out in the place of an answer: a response, or nothing, at once or after a minute. */
export type Spoilt =
  | { readonly status: number; readonly type: string; readonly body: string }
  | 'reset'
  | 'hang';

/** An answer with a fault. `url` is that of the request, which some vendors quote. */
export function spoil(fault: FaultKind, answer: Answer, url: URL): Spoilt {
  if (typeof fault === 'number') return json(failure(fault, `simulated ${fault}`));
  switch (fault) {
    case 'http_502':
      return html(502, `502 Bad Gateway: ${url.pathname}${url.search}`);
    case 'html':
      return html(200, `maintenance, you asked for ${url.search}`);
    case 'reset':
    case 'hang':
      return fault;
    case 'truncated': {
      const { body, ...rest } = json(answer);
      return { ...rest, body: body.slice(0, body.length / 2) };
    }
    case 'wrong_type':
      return json({ ...answer, CurrentSequence: 'many', ResultItem: {} });
    case 'null_fields':
      return json({ ...answer, CurrentSequence: null, ResultItem: null });
    case 'empty':
    case 'empty_once':
      return json({ ...answer, ResultItem: [] });
    case 'short':
    case 'short_once':
      return json(shorten(answer));
  }
}

function html(status: number, text: string) {
  return { status, type: 'text/html', body: `<html>${text}</html>` };
}

function json(value: unknown) {
  return { status: 200, type: 'application/json', body: JSON.stringify(value) };
}
