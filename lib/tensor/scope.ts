import { types } from 'node:util';
import { callback, check, checker } from '../check';
import { ForetokenError } from '../errors';

// Lifetimes. `scope(fn)` frees every tensor made inside, except those that `fn` returns, which then belong to the enclosing
// scope. Outside every scope a tensor lives until the caller disposes of it (`using` or `dispose()`).

/** A value that a scope can own. */
export interface Scoped {
  /** Frees the value's memory; a second call does nothing. */
  dispose(): void;
  /** Called when no scope owns the value any more. */
  released?(): void;
}

/** A value that keeps others alive: if it survives a scope, so do its dependencies. */
export interface Surviving extends Scoped {
  /** The values that this one needs. */
  dependencies(): Iterable<Scoped | null | undefined>;
}

const stack: Set<Scoped>[] = [];

/** Whether a scope will free tensors that are made now. */
export function inScope(): boolean {
  return stack.length > 0;
}

/** Makes the innermost scope, if any, the owner of `value`. */
export function own<T extends Scoped>(value: T): T {
  stack.at(-1)?.add(value);
  return value;
}

const SCOPED = checker<Scoped>(
  'something with dispose(), as a tensor',
  (value) => typeof value === 'object' && value !== null && typeof (value as Scoped).dispose === 'function',
);

/** Takes `value` out of its scope: from now on the caller must dispose of it. */
export function keep<T extends Scoped>(value: T): T {
  check('keep: value', value, SCOPED);
  if (ownerOf(value)?.delete(value)) value.released?.();
  return value;
}

/** Gives `value` the lifetime of `other`: the same scope owns both, or none does. */
export function keepWith<T extends Scoped>(value: T, other: Scoped): T {
  const owner = ownerOf(other);
  if (!owner) return keep(value);
  ownerOf(value)?.delete(value);
  owner.add(value);
  return value;
}

function ownerOf(value: Scoped): Set<Scoped> | undefined {
  return stack.findLast((owned) => owned.has(value));
}

/**
 * Runs `fn` and frees all tensors made inside, except those reachable from its result: a tensor, or arrays and plain objects of
 * tensors. `fn` must be synchronous; to read values back, return the tensors and await them outside.
 * @example
 * ```ts
 * import { openDevice, scope, silu } from 'foretoken';
 *
 * using device = openDevice('cpu');
 * // Frees the tensor that the data were uploaded to, and returns the result.
 * using activated = scope(() => silu(device.tensor(Float32Array.of(-1, 0, 1))));
 * console.log(await activated.data());
 * ```
 */
export function scope<T>(fn: () => T): T {
  check('scope: fn', fn, callback);
  const owned = new Set<Scoped>();
  stack.push(owned);
  let result: T | undefined;
  try {
    result = fn();
    if (types.isPromise(result)) {
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        'scope: fn must be synchronous, but it returned a promise',
      );
    }
    return result;
  } finally {
    stack.pop();
    const survivors = new Set<Scoped>();
    collect(result, owned, survivors, new Set());
    const outer = stack.at(-1);
    for (const value of owned) {
      if (!survivors.has(value)) value.dispose();
      else if (outer) outer.add(value);
      else value.released?.();
    }
  }
}

function collect(value: unknown, owned: Set<Scoped>, survivors: Set<Scoped>, visited: Set<object>): void {
  if (typeof value !== 'object' || value === null || visited.has(value)) return;
  visited.add(value);
  if (isSurviving(value)) {
    const pending: Scoped[] = [value];
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (!owned.has(next) || survivors.has(next)) continue;
      survivors.add(next);
      if (!isSurviving(next)) continue;
      for (const dependency of next.dependencies()) if (dependency) pending.push(dependency);
    }
  } else if (Array.isArray(value)) {
    for (const element of value) collect(element, owned, survivors, visited);
  } else if (isPlain(value)) {
    for (const element of Object.values(value)) collect(element, owned, survivors, visited);
  }
}

/** Whether an object is of no class; every realm has an Object.prototype of its own. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function isSurviving(value: object): value is Surviving {
  return 'dependencies' in value && 'dispose' in value;
}
