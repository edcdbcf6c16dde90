import { findWords } from '../../scripts/check-english';

/** The words found in a C++ file. */
const wordsIn = (text: string): string[] => findWords('file.cc', text).map(({ words }) => words);

describe('words to avoid are found', () => {
  test.each([
    ['// The sum is computed anew.', 'anew'],
    ['// Nobody reads it.', 'Nobody'],
    ['// All rows, but for the last.', 'but for'],
    ['// Null where there is no bias.', 'where there is'],
    ['// Zero where there are no rows.', 'where there are'],
    ['// Rows are brought to bfloat16.', 'brought to'],
    ['// The cost comes to 3 ms.', 'comes to'],
    ['fail("threads that came to different barriers");', 'came to'],
    ["it('goes with its weight')", 'goes with'],
    ['// Every row meets every column.', 'meets'],
    ['// Two tiles in turns.', 'in turns'],
    ['// The kernel tells of every access.', 'tells of'],
    ['// See what became of it.', 'became of'],
    ['// If there is such a thing.', 'such a thing'],
    ['// Buckets are float32 as ever.', 'as ever'],
    ['// It stops of its own accord.', 'own accord'],
    ['// Memory that cannot be had.', 'cannot be had'],
    ['// The owner lets go.', 'lets go'],
    ['// The results that came of it.', 'came of'],
    ['// The error is handed on.', 'handed on'],
    ['// For whoever reads it.', 'whoever'],
  ])('%s', (text, words) => {
    expect(wordsIn(text)).toEqual([words]);
  });

  test('across lines of a comment', () => {
    expect(
      findWords('file.ts', '/**\n * All rows but\n * for the last.\n */\n// No rows where\n// there are'),
    ).toEqual([
      { line: 2, words: 'but for', instead: 'except, apart from' },
      { line: 5, words: 'where there are', instead: 'if, with, without' },
    ]);
  });

  test('in documents, except for headings that begin with “What”', () => {
    expect(findWords('a.md', '# What is tested\n\nEverybody.').map(({ line }) => line)).toEqual([3]);
  });
});

describe('a comment that begins with a noun fragment is found', () => {
  test.each([
    '// What a row has.',
    '/** What a row has. */',
    '/**\n * What a row has.\n */',
    '# What a target needs.',
    'int x;  // What x is.',
  ])('%j', (text) => {
    expect(wordsIn(text)).toEqual([expect.stringMatching(/ ?What$/)]);
  });
});

test('good sentences are not flagged', () => {
  const sentences = [
    '// Computes the sum again. What follows needs it.',
    '// What if the vocabulary is empty?',
    '// The body of everything; a new row; somewhere there is room.',
    '// The last element goes without one. The thread comes together with the others, and goes on.',
    '// Tells whether the key was told. Letters go last. It becomes often slow.',
    '// Rows have been brought together. It has every row, in turn. Such things exist.',
    '// As every thread arrives, that can be handled. The bound is met.',
    'const anewton = nobodyKnows(what);',
  ];
  expect(sentences.flatMap(wordsIn)).toEqual([]);
});
