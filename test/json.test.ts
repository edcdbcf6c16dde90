import fc from 'fast-check';
import { outlineOfJson, parseJson } from '../lib/json';

const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;

describe('parsing JSON', () => {
  it('returns every value that JSON.stringify wrote', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses values that are nested too deeply for recursive functions, whatever the depth', () => {
    expect(parseJson(nested(256))).toEqual(JSON.parse(nested(256)));
    for (const depth of [258, 1_000_000]) {
      expect(() => parseJson(nested(depth))).toThrow('it is nested more than 256 deep');
    }
  });
});

describe('the outline of JSON', () => {
  it('has every key of the outermost object, including repeated keys', () => {
    expect(outlineOfJson('{"a": "b", "c": {"d": ["e", "f"]}, "a\\"\\\\": ",{", "a": 1}').keys).toEqual([
      'a',
      'c',
      'a"\\',
      'a',
    ]);
    expect(outlineOfJson('["a", "b"]').keys).toEqual([]);
    const object = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(object, (value) => {
        expect(new Set(outlineOfJson(JSON.stringify(value)).keys)).toEqual(new Set(Object.keys(value)));
      }),
    );
  });

  it('is right for strings of any length with any number of escapes', () => {
    const text = '\\"'.repeat(5_000_000);
    expect(outlineOfJson(`{"a": {"b": "${text}"}, "c": "${'\\\\'.repeat(5_000_000)}"}`)).toEqual({
      depth: 2,
      keys: ['a', 'c'],
    });
  });
});
