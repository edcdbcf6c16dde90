import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ForetokenError } from '../errors';

/** Where the Hub is, and how to talk to it; read from the environment variables of Python's huggingface_hub. */
export interface HubSettings {
  /** The Hub's address without a slash at its end. */
  readonly endpoint: string;
  readonly token:
    { readonly value: string; /** Where it was found, for messages. */ readonly source: string } | undefined;
  /** Time without a byte after which a connection counts as broken. */
  readonly timeoutMs: number;
}

const ENDPOINT = 'https://huggingface.co';
const TIMEOUT_SECONDS = 30;
/** Timers of Node wait no longer; a longer time would end at once. */
const MOST_MS = 2 ** 31 - 1;

/** Reads a variable; an empty one counts as absent. */
function variable(...names: string[]): string | undefined {
  return names.map((name) => process.env[name]).find((value) => value);
}

/** Replaces `~` at the beginning, `$NAME` and `${NAME}`. */
function expand(path: string): string {
  return path
    .replace(/^~(?=[\\/]|$)/, homedir())
    .replace(
      /\$(?:(\w+)|\{(\w+)\})/g,
      (text, name: string, braced: string) => process.env[name ?? braced] ?? text,
    );
}

function home(): string {
  const caches = variable('XDG_CACHE_HOME') ?? join(homedir(), '.cache');
  return expand(variable('HF_HOME') ?? join(caches, 'huggingface'));
}

/** Returns the directory of the cache that huggingface_hub shares: HF_HUB_CACHE, or one in HF_HOME or XDG_CACHE_HOME. */
export function cacheDirectory(): string {
  return expand(variable('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(home(), 'hub'));
}

/** Returns the variable that forbids connections, if it is set. */
export function offlineBy(): string | undefined {
  return ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'].find((name) =>
    /^(1|on|yes|true)$/i.test(process.env[name] ?? ''),
  );
}

/** @throws INVALID_ARGUMENT if HF_ENDPOINT is no address of a web server, or a token cannot be sent */
export async function hubSettings(): Promise<HubSettings> {
  const refused = (problem: string): Error =>
    new ForetokenError(
      'INVALID_ARGUMENT',
      `HF_ENDPOINT must be an address such as ${ENDPOINT}, but ${problem}`,
    );
  const endpoint = (variable('HF_ENDPOINT') ?? ENDPOINT).replace(/\/+$/, '');
  const { protocol, username, password } = URL.canParse(endpoint) ? new URL(endpoint) : ({} as Partial<URL>);
  // fetch refuses them, and would show the password.
  if (username || password) throw refused('holds a user name or a password');
  if (!/^https?:$/.test(protocol ?? '')) throw refused(`is ${JSON.stringify(endpoint)}`);
  const seconds = Number(variable('HF_HUB_DOWNLOAD_TIMEOUT') ?? TIMEOUT_SECONDS);
  const timeoutMs = Math.min(1000 * (seconds > 0 ? seconds : TIMEOUT_SECONDS), MOST_MS);
  return { endpoint, token: await findToken(), timeoutMs };
}

/** Finds the token of `HF_TOKEN` or of `hf auth login`. */
async function findToken(): Promise<HubSettings['token']> {
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const value = process.env[name]?.trim();
    if (value) return tokenOf(value, name);
  }
  const path = expand(variable('HF_TOKEN_PATH') ?? join(home(), 'token'));
  const value = (await readFile(path, 'utf8').catch(() => '')).trim();
  return value ? tokenOf(value, path) : undefined;
}

/** Refuses what a header cannot hold, without showing it. */
function tokenOf(value: string, source: string): HubSettings['token'] {
  if (/^[!-~]+$/.test(value)) return { value, source };
  const rule = 'a token of printable ASCII characters without spaces';
  throw new ForetokenError('INVALID_ARGUMENT', `${source} must be ${rule}, but holds others`);
}
