// Drafts that a user's function returns.
import { ForetokenError } from '../../lib/errors';
import { UserDrafter, type DraftedSequence, type DraftFunction } from '../../lib/decode/user-drafts';

const text = [1, 2, 3, 4];
const draftWith = (draft: unknown, deepest = 63): ReturnType<UserDrafter['draft']> =>
  new UserDrafter('generate: draft', draft as DraftFunction, 10, 63).draft(text, 3, deepest);

test('tokens without parents follow one another, below the last token of the text', () => {
  expect(draftWith(() => ({ tokens: [5, 6, 6] }))?.tree).toEqual({
    tokens: [4, 5, 6, 6],
    parents: [-1, 0, 1, 2],
    depths: [0, 1, 2, 3],
    maxDepth: 3,
  });
});

test('parents are indices of tokens; equal tokens below the same parent are one node', () => {
  const drafts = { tokens: Uint16Array.of(5, 6, 5, 7, 8), parents: [-1, 0, -1, 2, -1] };
  expect(draftWith(() => drafts)?.tree).toEqual({
    tokens: [4, 5, 6, 7, 8],
    parents: [-1, 0, 1, 1, 0],
    depths: [0, 1, 2, 2, 1],
    maxDepth: 2,
  });
});

test('drafts that are too deep are left out', () => {
  const drafts = { tokens: [5, 6, 7, 8, 9], parents: [-1, 0, 1, 2, -1] };
  expect(draftWith(() => drafts, 2)?.tree.tokens).toEqual([4, 5, 6, 9]);
  expect(draftWith(() => drafts, 0)).toBeNull();
});

test.each([
  ['null', () => null],
  ['undefined', () => undefined],
  ['no tokens', () => ({ tokens: [] })],
])('%s: no drafts', (_, draft) => expect(draftWith(draft)).toBeNull());

test.each([
  [() => 5, 'generate: draft() must be an object with tokens, parents, or null, but is 5'],
  [() => [5], 'generate: draft() must be an object with tokens, parents, or null, but is [5]'],
  [
    async () => null,
    /^generate: draft\(\) must return drafts or null, but returns a promise; .* cannot be async$/,
  ],
  [
    () => ({}),
    /^generate: draft\(\)\.tokens is missing; it must be an array, each element an integer from 0 to 9$/,
  ],
  [() => ({ tokens: [5], parent: [0] }), /parent .*; do you mean parents\?/],
  [() => ({ tokens: 'abc' }), /^generate: draft\(\)\.tokens must be an array, .* but is "abc"$/],
  [() => ({ tokens: BigInt64Array.of(5n) }), /tokens\[0\] must be an integer from 0 to 9, but is 5n$/],
  [() => ({ tokens: [5, 10] }), 'generate: draft().tokens[1] must be an integer from 0 to 9, but is 10'],
  [
    () => ({ tokens: [5, undefined, 1] }),
    /^generate: draft\(\)\.tokens\[1\] is missing; it must be an integer from 0 to 9$/,
  ],
  [() => ({ tokens: [0.5] }), 'generate: draft().tokens[0] must be an integer from 0 to 9, but is 0.5'],
  [() => ({ tokens: new Array(64).fill(1) }), /tokens\.length must be an integer from 0 to 63, but is 64$/],
  [() => ({ tokens: [5, 6], parents: [-1] }), /parents\.length must be an integer from 2 to 2, but is 1$/],
  [() => ({ tokens: [5, 6], parents: [-1, 1] }), /parents\[1\] must be an integer from -1 to 0, but is 1$/],
  [() => ({ tokens: [5], parents: [-2] }), /parents\[0\] must be an integer from -1 to 61, but is -2$/],
])('%p is refused', (draft, message) => {
  const refuse = (): unknown => draftWith(draft);
  expect(refuse).toThrow(ForetokenError);
  expect(refuse).toThrow(message);
});

test('an async function that rejects does not end the process', async () => {
  expect(() => draftWith(async () => Promise.reject(new Error('late')))).toThrow('promise');
  await new Promise(setImmediate);
});

test('errors of the function are passed on', () => {
  const error = new Error('mine');
  const draft = (): never => {
    throw error;
  };
  expect(() => draftWith(draft)).toThrow(error);
});

test('the function sees prompt and output, in memory of its own', () => {
  const seen: DraftedSequence[] = [];
  const drafter = new UserDrafter('generate: draft', (sequence) => void seen.push(sequence), 10, 63);
  const growing = [1, 2, 3];
  drafter.draft(growing, 3, 8);
  seen[0]!.tokens.fill(9);
  growing.push(4, 5);
  drafter.draft(growing, 3, 8);
  expect(growing).toEqual([1, 2, 3, 4, 5]);
  expect(Array.from(seen[1]!.tokens.subarray(3))).toEqual([4, 5]);
  expect(seen[1]!.promptLength).toBe(3);
  // Appending does not copy the text again.
  growing.push(6);
  drafter.draft(growing, 3, 8);
  expect(seen[2]!.tokens.buffer).toBe(seen[1]!.tokens.buffer);
});

test('tokens that the function transferred to another thread are copied again', () => {
  const seen: Int32Array[] = [];
  const drafter = new UserDrafter('generate: draft', ({ tokens }) => void seen.push(tokens), 10, 63);
  drafter.draft(text, 3, 8);
  structuredClone(seen[0], { transfer: [seen[0]!.buffer as ArrayBuffer] });
  drafter.draft(text, 3, 8);
  expect(Array.from(seen[1]!)).toEqual(text);
});

test('drafts are as likely as drafts of their depth and order were before', () => {
  const draft = (): unknown => ({ tokens: [5, 6, 7], parents: [-1, 0, -1] });
  const drafter = new UserDrafter('generate: draft', draft as DraftFunction, 10, 63);
  for (let i = 0; i < 100; i++) {
    drafter.draft(text, 3, 8);
    // Half of the first drafts are right, half of the drafts below these, and a quarter of their alternatives.
    drafter.observe([[5, 1], [7], [5, 6], [1]][i % 4]!);
  }
  const { conditionals } = drafter.draft(text, 3, 8)!;
  expect(conditionals[1]).toBeCloseTo(0.5, 1);
  expect(conditionals[2]).toBeCloseTo(0.5, 1);
  expect(conditionals[3]).toBeCloseTo(0.25, 1);
});
