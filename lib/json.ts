/** More than any file of a model needs, and far below the depth at which recursive functions run out of stack. */
const MAX_DEPTH = 256;

/**
 * Parses JSON that is nested at most 256 deep. `JSON.parse` accepts any depth, but recursive functions on the value (`JSON.stringify`,
 * a comparison) would run out of stack.
 *
 * @throws SyntaxError saying what is wrong with the text
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (outlineOfJson(text).depth > MAX_DEPTH)
    throw new SyntaxError(`it is nested more than ${MAX_DEPTH} deep`);
  return value;
}

/**
 * Finds how deep valid JSON is nested, and the keys of its outermost object, repeated keys included; `JSON.parse` keeps only the last
 * of equal keys. Takes time proportional to the length, and no stack.
 */
export function outlineOfJson(json: string): { depth: number; keys: string[] } {
  const keys: string[] = [];
  let depth = 0;
  let deepest = 0;
  let expectsKey = false;
  const isObject = /^\s*\{/.test(json);
  for (let i = 0; i < json.length; i += 1) {
    switch (json.charAt(i)) {
      case '{':
      case '[':
        depth += 1;
        deepest = Math.max(deepest, depth);
        expectsKey = depth === 1 && isObject;
        break;
      case '}':
      case ']':
        depth -= 1;
        break;
      case ',':
        expectsKey = depth === 1 && isObject;
        break;
      case '"': {
        const end = endOfString(json, i);
        if (expectsKey) keys.push(JSON.parse(json.slice(i, end)) as string);
        expectsKey = false;
        i = end - 1;
      }
    }
  }
  return { depth: deepest, keys };
}

/** Finds the end of the string that begins at `start`. */
function endOfString(json: string, start: number): number {
  for (let quote = json.indexOf('"', start + 1); quote >= 0; quote = json.indexOf('"', quote + 1)) {
    let escapes = quote;
    while (json[escapes - 1] === '\\') escapes -= 1;
    if ((quote - escapes) % 2 === 0) return quote + 1;
  }
  return json.length;
}
