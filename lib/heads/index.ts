import { check, checker, type Checker } from '../check';
import { ForetokenError } from '../errors';
import type { HeadKind } from './heads';
import { medusa } from './medusa';
import { parallel } from './parallel';
import { rooted } from './rooted';
import { sequential } from './sequential';

const kinds = new Map<string, HeadKind>(
  [parallel, medusa, rooted, sequential].map((kind) => [kind.kind, kind]),
);

const HEAD_KIND: Checker<HeadKind> = checker(
  'a HeadKind: an object with a name, kind, and a function, create',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as HeadKind).kind === 'string' &&
    (value as HeadKind).kind !== '' &&
    typeof (value as HeadKind).create === 'function',
);

/**
 * Makes a head architecture known under its name, for config.json and `mtp.kind`.
 * @throws ForetokenError INVALID_ARGUMENT for what is no head kind, and for a name that is taken
 */
export function registerHeadKind(kind: HeadKind): void {
  check('registerHeadKind: kind', kind, HEAD_KIND);
  if (kinds.has(kind.kind)) {
    throw new ForetokenError('INVALID_ARGUMENT', `registerHeadKind: there is a kind '${kind.kind}' already`);
  }
  kinds.set(kind.kind, kind);
}

/** The names of all known head architectures. */
export function headKindNames(): string[] {
  return [...kinds.keys()];
}

export function headKind(name: string): HeadKind {
  const kind = kinds.get(name);
  if (!kind) {
    const known = headKindNames().join(', ');
    throw new ForetokenError(
      'INVALID_CONFIG',
      `mtp.kind must be one of ${known}, but is ${JSON.stringify(name)}`,
    );
  }
  return kind;
}
