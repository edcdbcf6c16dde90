/** A value of a running template, as `@huggingface/jinja` represents it. */
export interface Value {
  readonly type: string;
  readonly value: unknown;
  /** Numbers know whether they are whole or have a point. */
  toString(): string;
}

/** Whether two values are equal in Python: by their contents, and only within a type; numbers and truth values are one type. */
export function areEqual(left: Value, right: Value): boolean {
  if (isNumeric(left) && isNumeric(right)) return Number(left.value) === Number(right.value);
  if (isMapping(left) && isMapping(right)) return sameEntries(left.value, right.value);
  if (left.type !== right.type) return false;
  if (isList(left) && isList(right)) {
    return (
      left.value.length === right.value.length &&
      left.value.every((each, i) => areEqual(each, right.value[i]!))
    );
  }
  return left.value === right.value;
}

/** Whether a container has a value, in Python: a list an equal element, a mapping a key, a text a part. */
export function contains(container: Value, value: Value): boolean {
  if (isList(container)) return container.value.some((each) => areEqual(each, value));
  if (isMapping(container)) return typeof value.value === 'string' && container.value.has(value.value);
  if (typeof container.value === 'string' && typeof value.value === 'string') {
    return container.value.includes(value.value);
  }
  if (container.type === 'UndefinedValue') return false;
  throw new Error(`cannot look for ${describe(value)} in ${describe(container)}`);
}

/** Writes a value as Python's `str` does. */
export function asText(value: Value): string {
  if (value.type === 'StringValue') return value.value as string;
  return value.type === 'UndefinedValue' ? '' : asCode(value);
}

/** Writes a value as Python's `repr` does. */
function asCode(value: Value): string {
  if (isList(value)) {
    const parts = value.value.map(asCode).join(', ');
    if (value.type !== 'TupleValue') return `[${parts}]`;
    return value.value.length === 1 ? `(${parts},)` : `(${parts})`;
  }
  if (isMapping(value)) {
    const entries = Array.from(value.value, ([key, each]) => `${quoted(key)}: ${asCode(each)}`);
    return `{${entries.join(', ')}}`;
  }
  switch (value.type) {
    case 'StringValue':
      return quoted(value.value as string);
    case 'BooleanValue':
      return value.value === true ? 'True' : 'False';
    case 'NullValue':
      return 'None';
    default:
      return value.toString();
  }
}

/** Quotes a text with apostrophes, or, if it has some and no quotation marks, with these. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escapes: Record<string, string> = {
    '\\': '\\\\',
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    [quote]: `\\${quote}`,
  };
  return quote + text.replace(/[\\\n\r\t'"]/g, (character) => escapes[character] ?? character) + quote;
}

function sameEntries(left: ReadonlyMap<string, Value>, right: ReadonlyMap<string, Value>): boolean {
  return (
    left.size === right.size &&
    Array.from(left).every(([key, value]) => right.has(key) && areEqual(value, right.get(key)!))
  );
}

export function isNumeric({ type }: Value): boolean {
  return type === 'IntegerValue' || type === 'FloatValue' || type === 'BooleanValue';
}

export function isList(value: Value): value is Value & { readonly value: readonly Value[] } {
  return value.type === 'ArrayValue' || value.type === 'TupleValue';
}

function isMapping(value: Value): value is Value & { readonly value: ReadonlyMap<string, Value> } {
  return value.type === 'ObjectValue' || value.type === 'KeywordArgumentsValue';
}

/** Names the type of a value for a message. */
export function describe({ type }: Value): string {
  return type.replace(/Value$/, '').toLowerCase();
}
