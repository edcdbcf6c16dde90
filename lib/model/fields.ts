import { check, show, type Checker } from '../check';
import { ForetokenError } from '../errors';
import { isJsonObject } from '../files';

/** An object of JSON. */
export type Json = Readonly<Record<string, unknown>>;

/** Turns a name of Hugging Face's files into that of an option: `rope_theta` into `ropeTheta`. */
export function camelCased(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** Turns the name of an option into that in Hugging Face's files: `ropeTheta` into `rope_theta`. */
export function snakeCased(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Reads each key of a JSON object once, and finds the keys that were not read, because a key that is not read may change what a model
 * computes. Errors name the file, the family of the model and the key as the file spells it.
 */
export class Fields {
  readonly #left: Map<string, unknown>;

  constructor(
    /** Begins all messages: the file, and the model's family. */
    private readonly where: string,
    json: Json,
    /** Values of keys that the object lacks. */
    private readonly defaults: Json = {},
    private readonly prefix = '',
  ) {
    this.#left = new Map(Object.entries(json));
  }

  /** Returns the value of a key; undefined for null, and for a key that has neither a value nor a default. */
  take(name: string): unknown {
    const value = this.#left.has(name) ? this.#left.get(name) : this.defaults[name];
    this.#left.delete(name);
    return decoded(value) ?? undefined;
  }

  /** Returns the checked value of a key, or undefined. */
  check<T>(name: string, by: Checker<T>): T | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    try {
      return check(`${this.where}: ${this.prefix}${name}`, value, by);
    } catch (cause) {
      throw new ForetokenError('INVALID_CONFIG', (cause as Error).message, { cause });
    }
  }

  /** Returns the checked value of a key that must be there. */
  required<T>(name: string, by: Checker<T>): T {
    return this.check(name, by) ?? this.fail(name, 'is missing');
  }

  /** Returns the fields of an object inside this one, or undefined. */
  object(name: string): Fields | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (!isJsonObject(value)) return this.fail(name, `must be an object, but is ${show(value)}`);
    return new Fields(this.where, value, {}, `${this.prefix}${name}.`);
  }

  /** Whether the object has this key, read or not yet. */
  has(name: string): boolean {
    return (this.#left.get(name) ?? null) !== null;
  }

  /**
   * Refuses keys that were not read, unless they change nothing.
   * @param harmless keys that change nothing
   * @param fixed keys of features that the trunk does not have, with the values, first the usual one, that turn the feature off
   */
  refuseOthers(
    harmless: readonly string[] = [],
    fixed: Readonly<Record<string, readonly unknown[]>> = {},
  ): void {
    for (const [name, value] of this.#left) {
      if (value === null || harmless.includes(name)) continue;
      const allowed = Object.hasOwn(fixed, name) ? fixed[name]! : null;
      if (allowed?.includes(value)) continue;
      this.fail(
        name,
        allowed
          ? `must be ${(allowed.length > 0 ? allowed : [null]).map(show).join(' or ')}, but is ${show(value)}`
          : `is not known, and may change what the model computes (given: ${show(value)})`,
      );
    }
  }

  /** Throws the error of a key. */
  fail(name: string, problem: string): never {
    throw new ForetokenError('INVALID_CONFIG', `${this.where}: ${this.prefix}${name} ${problem}`);
  }
}

/** Decodes numbers that JSON does not have, which transformers writes as `{"__float__": "Infinity"}`. */
function decoded(value: unknown): unknown {
  return isJsonObject(value) && typeof value.__float__ === 'string' && Object.keys(value).length === 1
    ? Number(value.__float__)
    : value;
}
