import { check, checker, type Checker } from '../check';
import { ForetokenError } from '../errors';
import type { HeadKind } from './heads';
import { medusa } from './medusa';
import { BUILT_IN_KINDS } from './names';
import { parallel } from './parallel';
import { recursive } from './recursive';
import { rooted } from './rooted';
import { sequential } from './sequential';

const BUILT_IN: Readonly<Record<(typeof BUILT_IN_KINDS)[number], HeadKind>> = {
  parallel,
  medusa,
  rooted,
  sequential,
  recursive,
};

const kinds = new Map<string, HeadKind>(BUILT_IN_KINDS.map((name) => [name, BUILT_IN[name]]));

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
 * Registers a head architecture under its name, for `mtp.kind`.
 * @throws ForetokenError INVALID_ARGUMENT for a value that is not a head kind, and for a name that is already registered
 */
export function registerHeadKind(kind: HeadKind): void {
  check('registerHeadKind: kind', kind, HEAD_KIND);
  if (kinds.has(kind.kind)) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `registerHeadKind: the kind '${kind.kind}' is already registered`,
    );
  }
  kinds.set(kind.kind, kind);
}

/** Lists the names of all registered head architectures. */
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
