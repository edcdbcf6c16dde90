import { isJsonObject } from '../../files';

/**
 * Reads an object of a tokenizer.json and names its place in errors. A null counts as an absent key, as in the reference
 * implementation.
 */
export class Fields {
  /** @param where the object's place in the file, as `pre_tokenizer.pretokenizers[1]` */
  constructor(
    readonly where: string,
    private readonly json: Readonly<Record<string, unknown>>,
  ) {}

  string(key: string, absent?: string): string {
    return this.#read(key, 'a string', (value) => typeof value === 'string', absent);
  }

  boolean(key: string, absent?: boolean): boolean {
    return this.#read(key, 'true or false', (value) => typeof value === 'boolean', absent);
  }

  /** Reads an integer of at least 0 that fits into 31 bits. */
  integer(key: string, absent?: number): number {
    return this.#read(key, 'an integer of at least 0', isId, absent);
  }

  /** Reads one of several words, in any case: the reference implementation has written both `Removed` and `removed`. */
  choice<const T extends string>(key: string, choices: readonly T[], absent?: T): T {
    const same = (value: unknown): T | undefined =>
      choices.find((choice) => typeof value === 'string' && value.toLowerCase() === choice.toLowerCase());
    return same(
      this.#read(key, `one of ${choices.join(', ')}`, (value) => same(value) !== undefined, absent),
    )!;
  }

  has(key: string): boolean {
    return this.json[key] !== undefined && this.json[key] !== null;
  }

  object(key: string): Fields {
    const value = this.#read<Record<string, unknown>>(key, 'an object', isJsonObject);
    return new Fields(this.#place(key), value);
  }

  objects(key: string): Fields[] {
    const list = this.#read<unknown[]>(key, 'a list of objects', (value) => isListOf(value, isJsonObject));
    return list.map((value, i) => new Fields(`${this.#place(key)}[${i}]`, value as Record<string, unknown>));
  }

  list<T>(key: string, allowed: string, fits: (value: unknown) => value is T): T[] {
    return this.#read<T[]>(key, `a list, each element ${allowed}`, (value) => isListOf(value, fits));
  }

  /** Reads an object that maps tokens to ids. */
  ids(key: string): Map<string, number> {
    const object = this.#read<Record<string, unknown>>(
      key,
      'an object with an id for each token',
      isJsonObject,
    );
    const ids = new Map<string, number>();
    // A plain loop: a vocabulary has hundreds of thousands of tokens.
    for (const token in object) {
      const id = object[token];
      if (!isId(id)) throw new Error(`"${this.#place(key)}" must have an id of at least 0 for each token`);
      ids.set(token, id);
    }
    return ids;
  }

  raw(key: string): unknown {
    return this.json[key];
  }

  error(problem: string): Error {
    return new Error(`${this.where}: ${problem}`);
  }

  #read<T>(key: string, allowed: string, fits: (value: unknown) => boolean, absent?: T): T {
    const value = this.json[key] ?? absent;
    if (value === undefined) throw new Error(`"${this.#place(key)}" is missing`);
    if (!fits(value)) throw new Error(`"${this.#place(key)}" must be ${allowed}`);
    return value as T;
  }

  #place(key: string): string {
    return this.where === '' ? key : `${this.where}.${key}`;
  }
}

export function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0x7fff_ffff;
}

function isListOf<T>(value: unknown, fits: (element: unknown) => element is T): value is T[] {
  return Array.isArray(value) && value.every(fits);
}

/** Picks the maker for an object's `type`. */
export function byType<T>(fields: Fields, makers: Readonly<Record<string, (fields: Fields) => T>>): T {
  const type = fields.string('type');
  if (Object.hasOwn(makers, type)) return makers[type]!(fields);
  throw fields.error(`type "${type}" is not known; it may be ${Object.keys(makers).join(', ')}`);
}
