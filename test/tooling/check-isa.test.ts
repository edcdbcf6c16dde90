import { execFileSync } from 'node:child_process';
import { checkObject } from '../../scripts/check-isa';
import { TemporaryDirectory } from '../support/temporary';

describe('checks of AVX object files', () => {
  const folder = new TemporaryDirectory();

  function problemsOf(source: string): string[] {
    const object = folder.at('kernel.o');
    const file = folder.write('kernel.cc', source);
    execFileSync('c++', ['-std=c++20', '-c', '-fPIC', file, '-o', object]);
    return checkObject(object, 'avx2');
  }

  test('inline functions and templates in the namespace of the level are allowed', () => {
    const source = `
      namespace foretoken::cpu::avx2 {
      struct Tile { float x; };
      inline float twice(float x) { return 2 * x; }
      template <typename T> T thrice(T x) { return 3 * x; }
      float kernel(float x) { return twice(x) + thrice(x); }
      }
      template <typename T> float shared_by_type(T tile) { return tile.x; }
      namespace foretoken::cpu::avx2 { float other(Tile tile) { return shared_by_type(tile); } }`;
    expect(problemsOf(source)).toEqual([]);
  });

  test('a shared inline function is found', () => {
    const source = `
      namespace foretoken { inline float twice(float x) { return 2 * x; } }
      namespace foretoken::cpu::avx2 { float kernel(float x) { return foretoken::twice(x); } }`;
    expect(problemsOf(source)).toEqual([
      'shares avx2 code with the rest of the program: foretoken::twice(float)',
    ]);
  });

  test('a global object with a constructor is found', () => {
    const source = `
      namespace foretoken::cpu::avx2 { struct S { S(); }; S s; }`;
    expect(problemsOf(source)).toEqual([expect.stringContaining('runs avx2 code when the addon is loaded')]);
  });
});
