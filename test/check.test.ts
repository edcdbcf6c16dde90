// Checkers refuse unknown options, wrong types and unreadable values at the call, by name.
import {
  arrayOf,
  boolean,
  callback,
  check,
  checkOptions,
  either,
  instance,
  integer,
  nullable,
  number,
  object,
  oneOf,
  path,
  required,
  shaped,
  show,
  signal,
  string,
  variants,
  type Schema,
} from '../lib/check';
import { nearestName } from '../lib/nearest-name';
import { foretokenError } from './support/errors';

const invalid = (...parts: string[]): Error => foretokenError('INVALID_ARGUMENT', ...parts);

interface Options {
  maxTokens?: number;
  stop?: string | readonly string[];
  tokenizer: string;
  end?: number | null;
  inner?: { peak: number; steps?: number };
  tree?: { kind: 'chain'; depth?: number } | { kind: 'full'; widths: readonly number[] };
}

const SCHEMA: Schema<Options> = {
  maxTokens: integer(0),
  stop: either<[string, readonly string[]]>(string, arrayOf(string)),
  tokenizer: required(string),
  end: nullable(integer(0, 9)),
  inner: object<{ peak: number; steps?: number }>({ peak: required(number(0)), steps: integer(1) }),
  tree: variants<NonNullable<Options['tree']>, 'kind'>('kind', {
    chain: { depth: integer(0, 3) },
    full: { widths: required(arrayOf(integer(1, 5))) },
  }),
};

const given = (options: unknown): Options => checkOptions('run', options as Options, SCHEMA);

describe('options', () => {
  test('that are valid are returned as a copy, without undefined ones', () => {
    const stop = ['a'];
    const options = { tokenizer: 't', stop, end: null, maxTokens: undefined, inner: { peak: 0.5 } };
    const checked = given(options);
    expect(checked).toEqual({ tokenizer: 't', stop: ['a'], end: null, inner: { peak: 0.5 } });
    expect(Object.keys(checked)).not.toContain('maxTokens');
    stop.push('b');
    expect(checked.stop).toEqual(['a']);
    expect(given(Object.create(options)).tokenizer).toBe('t');
  });

  test.each([
    [
      { max_tokens: 3 },
      ['run has no option max_tokens (given: 3); do you mean maxTokens?', 'Its options are maxTokens, stop'],
    ],
    [{ elephants: 'two' }, ['run has no option elephants (given: "two"). Its options are maxTokens']],
    [{ tokenizer: undefined }, ['run: tokenizer is missing; it must be a string']],
    [{ maxTokens: null }, ['run: maxTokens must be an integer of at least 0, but is null']],
    [{ maxTokens: '3' }, ['run: maxTokens must be an integer of at least 0, but is "3"']],
    [{ maxTokens: 2 ** 53 }, ['run: maxTokens must be an integer', '9007199254740992']],
    [{ stop: 5 }, ['run: stop must be a string, or an array, each element a string, but is 5']],
    [{ stop: ['a', 5] }, ['run: stop[1] must be a string, but is 5']],
    [{ stop: [undefined, 'a'] }, ['run: stop[0] is missing; it must be a string']],
    [{ end: 10 }, ['run: end must be an integer from 0 to 9, or null, but is 10']],
    [{ inner: {} }, ['run: inner.peak is missing; it must be a number of at least 0']],
    [{ inner: { peak: 1, step: 3 } }, ['run: inner has no option step', 'do you mean steps?']],
    [{ inner: [] }, ['run: inner must be an object with peak, steps, but is []']],
    [{ tree: { kind: 'ring' } }, ['run: tree.kind must be one of chain, full, but is "ring"']],
    [{ tree: {} }, ['run: tree.kind is missing']],
    [{ tree: { kind: 'chain', widths: [1] } }, ['no option widths', 'Its options are kind, depth.']],
    [
      { tree: { kind: 'full', widths: [1, 6] } },
      ['run: tree.widths[1] must be an integer from 1 to 5, but is 6'],
    ],
    [{ tree: 'chain' }, ['run: tree must be an object with kind: chain, full, but is "chain"']],
  ])('%j are refused by name', (options, parts) => {
    expect(() => given({ tokenizer: 't', ...options })).toThrow(invalid(...parts));
  });

  test.each([[null], [undefined], [3], ['text'], [[]], [new Map()], [() => 1]])(
    '%p is refused as options',
    (options) => {
      expect(() => given(options)).toThrow(invalid('run: options'));
    },
  );

  test('that throw when they are read are refused', () => {
    const fail = (): never => {
      throw new RangeError('not today');
    };
    const getter = Object.defineProperty({ tokenizer: 't' }, 'maxTokens', { get: fail, enumerable: true });
    expect(() => given(getter)).toThrow(invalid('run: maxTokens cannot be read', 'RangeError: not today'));
    const traps = { ownKeys: fail, get: fail, getPrototypeOf: fail };
    expect(() => given(new Proxy({}, traps))).toThrow(invalid('run: options'));
    expect(() => given({ tokenizer: new Proxy({}, traps) })).toThrow(invalid('run: tokenizer'));
    const stop = Object.defineProperty([], '0', { get: fail });
    expect(() => given({ tokenizer: 't', stop })).toThrow(invalid('run: stop[0] cannot be read'));
    const { proxy, revoke } = Proxy.revocable([], {});
    revoke();
    expect(() => given({ tokenizer: 't', stop: proxy })).toThrow(invalid('run: stop cannot be read'));
  });

  test('are read once', () => {
    let reads = 0;
    const options = {
      tokenizer: 't',
      get maxTokens() {
        return ++reads === 1 ? 1 : 'x';
      },
    };
    expect(given(options).maxTokens).toBe(1);
    expect(reads).toBe(1);
  });
});

describe('single values', () => {
  class Thing {
    readonly name = 'thing';
  }
  test.each([
    [integer(-5, 5), [-5, 0, 5], [-6, 6, 0.5, NaN, '1', 1n]],
    [number(0), [0, 1e300], [-1e-9, Infinity, NaN, '1']],
    [boolean, [true, false], [0, 'true', null]],
    [path, ['a', 'a b/ü'], ['', 'a\0b', 1]],
    [callback, [() => 1, Thing], [{}, 'f']],
    [oneOf('a', 'b'), ['a', 'b'], ['c', ['a'], null]],
    [instance(Thing), [new Thing()], [{}, null, 5]],
    [shaped<{ go: () => void }>('a goer', { go: 'function' }), [{ go: () => 1 }], [{ go: 1 }, {}, null, 'x']],
    [
      signal,
      [new AbortController().signal, AbortSignal.abort()],
      [{}, { aborted: false }, new AbortController(), null],
    ],
  ])('%#', (checker, right, wrong) => {
    for (const value of right) expect(check<unknown>('f: x', value, checker)).toEqual(value);
    for (const value of wrong) {
      expect(() => check<unknown>('f: x', value, checker)).toThrow(
        invalid(`f: x must be ${checker.allowed}, but is `),
      );
    }
    expect(() => check<unknown>('f: x', undefined, checker)).toThrow(invalid('f: x is missing'));
  });

  test.each([
    [5n, '5n'],
    [Symbol('x'), 'Symbol(x)'],
    ['y'.repeat(100), `"${'y'.repeat(60)}…"`],
    [[1, 'a', {}, 4, 5], '[1, "a", …, 4, …]'],
    [new Map(), 'a Map'],
    [new Int32Array(2), 'an Int32Array'],
    [Object.create(null), 'an object'],
  ])('%p is shown as %s', (value, text) => {
    expect(show(value)).toBe(text);
  });
});

test.each([
  ['max_tokens', 'maxTokens'],
  ['max-tokens', 'maxTokens'],
  ['maxTokesn', 'maxTokens'],
  ['temprature', 'temperature'],
  ['temp', 'temperature'],
  ['top_p', 'topP'],
  ['TOPK', 'topK'],
  ['max_new_tokens', 'maxTokens'],
  ['lr', 'learningRate'],
  ['epochs', 'steps'],
  ['do_sample', 'temperature'],
  ['zebra', undefined],
  ['__proto__', undefined],
  ['constructor', undefined],
  ['', undefined],
])('%s most likely means %s', (name, nearest) => {
  const known = ['maxTokens', 'temperature', 'topK', 'topP', 'learningRate', 'steps'];
  expect(nearestName(name, known)).toBe(nearest);
});

test('flags are found, too', () => {
  expect(nearestName('max_new_tokens', ['max-tokens', 'stop'])).toBe('max-tokens');
  expect(nearestName('lr', ['learning-rate', 'steps'])).toBe('learning-rate');
});
