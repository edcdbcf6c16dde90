import { setTimeout as sleep } from 'node:timers/promises';
import { ForetokenError } from '../errors';
import type { HubSettings } from './settings';

/** A request about a model. */
export interface HubRequest {
  readonly hub: HubSettings;
  /** Owner and name of the model, for messages. */
  readonly name: string;
  /** The revision or file that is asked for, for messages. */
  readonly wanted: string;
  /** The path below the Hub's address. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

/** A failure that may pass: a broken connection, or a busy server. */
export class PassingError extends ForetokenError {
  constructor(
    message: string,
    /** Whether the Hub answered. */
    readonly answered: boolean,
    /** Seconds after which the Hub asks to try again. */
    readonly retryAfter?: number,
    options?: ErrorOptions,
  ) {
    super('DOWNLOAD_FAILED', message, options);
  }
}

const ATTEMPTS = 5;
const MOST_SECONDS = 60;

/**
 * Repeats what fails with a passing error, until it has failed five times in a row.
 * @param judge says after an error whether to give up, or whether the work had advanced since the last error
 */
export async function retrying<T>(
  work: () => Promise<T>,
  signal: AbortSignal | undefined,
  judge: (error: PassingError) => 'give up' | 'advanced' | 'stuck',
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PassingError)) throw error;
      const verdict = judge(error);
      if (verdict === 'advanced') failures = 1;
      if (verdict === 'give up' || failures >= ATTEMPTS) throw error;
      const seconds = Math.min(error.retryAfter ?? 2 ** (failures - 1), MOST_SECONDS);
      await wait(seconds * 1000, signal);
    }
  }
}

/** Waits; throws the reason of the signal when it is aborted. */
export async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const pause = new AbortController();
  const onAbort = (): void => pause.abort();
  signal?.throwIfAborted();
  signal?.addEventListener('abort', onAbort);
  await sleep(milliseconds, undefined, { signal: pause.signal }).catch(() => undefined);
  signal?.removeEventListener('abort', onAbort);
  signal?.throwIfAborted();
}

/**
 * Sends a request and passes the answer to `read`. Nothing else in foretoken opens a connection.
 * The token goes to the Hub alone: fetch removes it when it follows a redirect to another host.
 * @param read calls `alive` when bytes arrive
 * @throws DOWNLOAD_FAILED saying what the Hub refuses; PassingError; the reason of the signal
 */
export async function request<T>(
  { hub, name, wanted, path, headers, signal }: HubRequest,
  read: (response: Response, alive: () => void) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const onAbort = (): void => controller.abort();
  signal?.addEventListener('abort', onAbort);
  const { endpoint, token, timeoutMs } = hub;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    controller.abort();
  }, timeoutMs);
  try {
    const response = await fetch(endpoint + path, {
      headers: {
        ...headers,
        // Sizes and positions are those of the file itself.
        'accept-encoding': 'identity',
        'user-agent': 'foretoken',
        ...(token && { authorization: `Bearer ${token.value}` }),
      },
      signal: controller.signal,
    });
    if (!response.ok) throw await refusal(hub, name, wanted, response);
    return await read(response, () => timer.refresh());
  } catch (error) {
    signal?.throwIfAborted();
    if (late) throw new PassingError(`${endpoint} sent nothing for ${timeoutMs / 1000} s`, false);
    // fetch wraps the errors of connections.
    const { name: kind, cause } = error as Error;
    if (kind !== 'TypeError' || cause === undefined) throw error;
    throw new PassingError(`cannot reach ${endpoint}: ${wordsOf(cause as Error)}`, false, undefined, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    // Ends the connection of an answer that was not read to its end.
    controller.abort();
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is unknown; is this machine connected?',
  EAI_AGAIN: 'its name cannot be looked up; is this machine connected?',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
};

function wordsOf({ code, message }: NodeJS.ErrnoException): string {
  return WORDS[code ?? ''] ?? message;
}

/** Makes the error for an answer that is not a success: one sentence with advice. */
async function refusal(
  { endpoint, token }: HubSettings,
  name: string,
  wanted: string,
  response: Response,
): Promise<Error> {
  const { status, headers } = response;
  const code = headers.get('x-error-code');
  const said = headers.get('x-error-message');
  await response.body?.cancel().catch(() => undefined);
  const failed = (message: string): Error => new ForetokenError('DOWNLOAD_FAILED', message);
  if (status === 408 || status === 429 || status >= 500) {
    const seconds = Number(headers.get('retry-after') ?? NaN);
    const after = Number.isFinite(seconds) ? `; it asks to wait ${seconds} s` : '';
    return new PassingError(
      `${endpoint} answered ${status}${said ? `, "${said}"` : ''}${after}`,
      true,
      Number.isFinite(seconds) ? seconds : undefined,
    );
  }
  if (code === 'GatedRepo') {
    const advice = token
      ? `the account of ${token.source} has no access yet: ask for it at ${endpoint}/${name}`
      : `accept its terms at ${endpoint}/${name}, and set HF_TOKEN to a token of your account`;
    return failed(`${name} is gated; ${advice}`);
  }
  if (status === 401 && token && said?.startsWith('Invalid')) {
    return failed(
      `${endpoint} refuses the token of ${token.source}: ${said}; make one at ${endpoint}/settings/tokens`,
    );
  }
  if (code === 'RevisionNotFound' || code === 'EntryNotFound') return failed(`${name} has no ${wanted}`);
  if (status === 401 || status === 404) {
    const advice = token
      ? `the token of ${token.source} may not read it`
      : 'then set HF_TOKEN to a token that may read it';
    return failed(`${endpoint} has no model ${name}, or it is private: ${advice}`);
  }
  return failed(`${endpoint} answered ${status}${said ? `, "${said}"` : ''} for ${name}`);
}
