import { ForetokenError } from '../errors';
import type { HeadKind } from './heads';
import { medusa } from './medusa';
import { parallel } from './parallel';
import { rooted } from './rooted';
import { sequential } from './sequential';

const kinds = new Map<string, HeadKind>(
  [parallel, medusa, rooted, sequential].map((kind) => [kind.kind, kind]),
);

/** Makes a head architecture known under its name, for config.json and `mtp.kind`. */
export function registerHeadKind(kind: HeadKind): void {
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
