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

/** @throws INVALID_ARGUMENT if HF_ENDPOINT is no address of a web server */
export async function hubSettings(): Promise<HubSettings> {
  const endpoint = (variable('HF_ENDPOINT') ?? ENDPOINT).replace(/\/+$/, '');
  if (!/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `HF_ENDPOINT must be an address such as ${ENDPOINT}, but is ${JSON.stringify(endpoint)}`,
    );
  }
  const seconds = Number(variable('HF_HUB_DOWNLOAD_TIMEOUT') ?? TIMEOUT_SECONDS);
  return { endpoint, token: await findToken(), timeoutMs: 1000 * (seconds > 0 ? seconds : TIMEOUT_SECONDS) };
}

/** Finds the token of `HF_TOKEN` or of `hf auth login`. */
async function findToken(): Promise<HubSettings['token']> {
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const value = process.env[name]?.trim();
    if (value) return { value, source: name };
  }
  const path = expand(variable('HF_TOKEN_PATH') ?? join(home(), 'token'));
  const value = (await readFile(path, 'utf8').catch(() => '')).trim();
  return value ? { value, source: path } : undefined;
}
