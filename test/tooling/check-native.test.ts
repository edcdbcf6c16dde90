import { findAssembly } from '../../scripts/check-native';

test('inline assembly is found in all its spellings', () => {
  const source = [
    'int f() {',
    '  asm("nop");',
    '  asm volatile("nop");',
    '  __asm__ __volatile__("nop");',
    '}',
  ].join('\n');
  expect(findAssembly(source)).toEqual([2, 3, 4]);
});

test('comments, strings and longer names are not assembly', () => {
  const source = [
    '// asm("nop")',
    '/* asm',
    ' asm */',
    'const char* s = "asm(\\"x\\")";',
    'int asm_count, plasma;',
  ].join('\n');
  expect(findAssembly(source)).toEqual([]);
});
