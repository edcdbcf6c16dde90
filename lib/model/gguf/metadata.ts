import { show } from '../../check';
import { ForetokenError } from '../../errors';
import type { GgufValue, NumberArray } from './format';

/** Typed access to the metadata of a file. Remembers which keys were read, so that the others can be refused. */
export class Metadata {
  readonly #read = new Set<string>();

  constructor(
    readonly path: string,
    private readonly entries: ReadonlyMap<string, GgufValue>,
  ) {}

  get keys(): Iterable<string> {
    return this.entries.keys();
  }

  /** Reads a value of any type; undefined without the key. */
  take(key: string): GgufValue | undefined {
    this.#read.add(key);
    return this.entries.get(key);
  }

  string(key: string): string | undefined {
    return this.#typed(key, 'a string', (value): value is string => typeof value === 'string');
  }

  flag(key: string): boolean | undefined {
    return this.#typed(key, 'a boolean', (value): value is boolean => typeof value === 'boolean');
  }

  /**
   * Reads a number. GGUF stores fractions in float32, mostly; the shortest decimal number that rounds to such a value is the one that
   * was written, so 1e-5 comes back as 1e-5.
   */
  number(key: string): number | undefined {
    const value = this.#typed(key, 'a number', (given): given is number => typeof given === 'number');
    return value === undefined ? undefined : shortest(value);
  }

  /** Reads a number that turns something off if it is 0; undefined then. */
  unlessZero(key: string): number | undefined {
    return this.number(key) === 0 ? undefined : this.number(key);
  }

  /** Reads an integer of at least 0. */
  integer(key: string): number | undefined {
    const isSize = (value: GgufValue): value is number =>
      Number.isSafeInteger(value) && (value as number) >= 0;
    return this.#typed(key, 'an integer of at least 0', isSize);
  }

  required<T>(key: string, value: T | undefined): T {
    return value ?? this.fail(key, 'is missing');
  }

  /** Reads an array of strings. */
  strings(key: string): readonly string[] | undefined {
    const isList = (value: GgufValue): value is readonly string[] => Array.isArray(value);
    return this.#typed(key, 'an array of strings', isList);
  }

  /** Reads an array of numbers or booleans; booleans come as 0 and 1. */
  numbers(key: string): number[] | undefined {
    const isList = (value: GgufValue): value is NumberArray => ArrayBuffer.isView(value);
    const list = this.#typed(key, 'an array of numbers', isList);
    return list && Array.from<number | bigint, number>(list, Number);
  }

  /** Reads an integer that may be given for each layer. Layers that differ are refused, because no family here has such layers. */
  sameInAllLayers(key: string): number | undefined {
    if (!ArrayBuffer.isView(this.entries.get(key))) return this.integer(key);
    const [first, ...others] = this.numbers(key)!;
    if (others.some((value) => value !== first))
      this.fail(key, 'differs between layers, which is not supported');
    return first;
  }

  /** Refuses keys that begin with `prefix` and were not read. */
  refuseOthers(prefix: string): void {
    for (const [key, value] of this.entries) {
      if (!key.startsWith(prefix) || this.#read.has(key)) continue;
      this.fail(key, `is not known, and may change what the model computes (given: ${show(value)})`);
    }
  }

  fail(key: string, problem: string): never {
    throw new ForetokenError('INVALID_CONFIG', `${this.path}: metadata "${key}" ${problem}`);
  }

  #typed<T extends GgufValue>(
    key: string,
    kind: string,
    fits: (value: GgufValue) => value is T,
  ): T | undefined {
    const value = this.take(key);
    if (value === undefined || fits(value)) return value;
    return this.fail(key, `must be ${kind}, but is ${show(value)}`);
  }
}

/** Returns the shortest decimal number that rounds to a float32, or the number itself if no float32 equals it. */
function shortest(value: number): number {
  if (Math.fround(value) !== value) return value;
  for (let digits = 1; digits <= 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}
