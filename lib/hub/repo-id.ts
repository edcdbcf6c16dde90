/** A model on the Hub at one revision. */
export interface RepoId {
  /** Owner and name: `Qwen/Qwen3-0.6B`. */
  readonly name: string;
  /** A branch, a tag or the hash of a commit; undefined if none was given. */
  readonly revision: string | undefined;
}

export const DEFAULT_REVISION = 'main';

/** The rule of huggingface_hub for each of the two parts: a letter, digit or underscore at both ends. */
const PART = /^(?=.{1,96}$)\w([\w.-]*\w)?$/;

/** Parses `owner/name` or `owner/name@revision`; undefined for any other text. */
export function parseRepoId(text: string): RepoId | undefined {
  const at = text.indexOf('@');
  const name = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? undefined : text.slice(at + 1);
  const parts = name.split('/');
  // `--` separates owner and name in the cache.
  const isName = parts.length === 2 && parts.every((part) => PART.test(part) && !/--|\.\./.test(part));
  if (!isName || (revision !== undefined && !isRevision(revision))) return undefined;
  return { name, revision };
}

/** Whether a text can be the name of a branch or tag, or a hash: it is part of paths in the cache (`git check-ref-format`). */
export function isRevision(text: string): boolean {
  const parts = text.split('/');
  // Printable characters, without those that are special in git.
  return /^[!-}\u0080-\uffff]*$/.test(text) && !/[~^:?*[\\]|\.\.|@\{/.test(text) && parts.every(isRefPart);
}

function isRefPart(part: string): boolean {
  return part !== '' && !part.startsWith('.') && !/(\.|\.lock)$/.test(part);
}

/** Whether a revision is the full hash of a commit, which never changes its contents. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
