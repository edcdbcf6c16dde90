// Constraints: no forbidden token is drawn, speculation changes no token, other texts go on, a failing constraint ends its text alone.
import fc from 'fast-check';
import type { TokenConstraint } from '../../lib/decode/constraint';
import { generate } from '../../lib/decode/generate';
import { LanguageModel } from '../../lib/decode/language-model';
import type { GenerateOptions, Speculation } from '../../lib/decode/options';
import type { MtpModel } from '../../lib/model/model';
import { openDevice, type Device } from '../../lib/tensor/device';
import { foretokenError } from '../support/errors';
import { randomModel, tokensOf } from '../support/exact';
import { tokenizer } from '../support/training';

const description = { kind: 'rooted', numHeads: 4, seed: 5, tied: true, modelType: 'llama' } as const;
const vocabSize = 257;

let device: Device;
let model: MtpModel;
beforeEach(() => {
  device = openDevice('cpu', { threads: 2, poison: true });
  model = randomModel(device, description);
});
afterEach(() => {
  model.dispose();
  device.dispose();
});

/** Allows one token in `share`, which ones depends on the tokens before. */
class Sums implements TokenConstraint {
  constructor(
    readonly share: number,
    readonly sum = 0,
  ) {}

  allows(token: number): boolean {
    return (token + this.sum) % this.share === 0;
  }

  next(token: number): Sums | null {
    return this.allows(token) ? new Sums(this.share, (7 * this.sum + token + 1) % 97) : null;
  }

  allow(mask: Int32Array): void {
    expect(mask).toEqual(new Int32Array(Math.ceil(vocabSize / 32)));
    for (let token = 0; token < vocabSize; token++) {
      if (this.allows(token)) mask[token >> 5]! |= 1 << (token & 31);
    }
  }
}

function expectAllowed(tokens: readonly number[], constraint: TokenConstraint): void {
  let state: TokenConstraint | null = constraint;
  for (const token of tokens) {
    state = state.next(token);
    if (!state) throw new Error(`token ${token} of ${tokens.join()} is not allowed`);
  }
}

const speculations: Speculation[] = [
  'none',
  { tree: 'chain' },
  { tree: 'full', widths: [3, 2] },
  { tree: 'best', nodes: 7 },
  { tree: 'adaptive' },
];

async function checkSpeculation(of: MtpModel, runs: number, maxTokens: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 80 }),
      fc.constantFrom<GenerateOptions>(
        {},
        { temperature: 1, seed: 2, topP: 0.9 },
        { repetitionPenalty: 1.3 },
      ),
      async (share, prompt, sampling) => {
        const options = { maxTokens, ignoreEos: true, ...sampling, constraint: new Sums(share) };
        const plain = await tokensOf(of, prompt, { ...options, speculation: 'none' });
        expect(plain).toHaveLength(maxTokens);
        expectAllowed(plain, options.constraint);
        for (const speculation of speculations.slice(1)) {
          expect(await tokensOf(of, prompt, { ...options, speculation })).toEqual(plain);
        }
      },
    ),
    { numRuns: runs },
  );
}

test('speculation changes no token', async () => {
  await checkSpeculation(model, 10, 20);
});

test('speculation changes no token on the emulated GPU', async () => {
  using gpu = openDevice('cuda-emulated');
  using small = randomModel(gpu, description, { ...SCALE, hiddenSize: 32 });
  await checkSpeculation(small, 1, 4);
});

const SCALE = { hiddenSize: 32, layers: 2, heads: 4, promptTokens: 90, newTokens: 24, width: 2 };

test('free and constrained texts side by side are the texts alone', async () => {
  const options = { maxTokens: 16, ignoreEos: true, temperature: 1 };
  const requests = Array.from({ length: 7 }, (_, i) => ({
    prompt: 'a'.repeat(1 + 9 * i),
    seed: i,
    speculation: speculations[i % speculations.length]!,
    ...(i % 2 === 0 && { constraint: new Sums(3 + i) }),
  }));
  const alone = [];
  for (const { prompt, ...more } of requests) {
    const ids = [...tokenizer.encode(prompt)];
    alone.push(await tokensOf(model, ids, { ...options, ...more, speculation: 'none' }));
  }
  using language = new LanguageModel(randomModel(device, description), tokenizer);
  const together: number[][] = [];
  for await (const { index, tokens } of language.generateMany(requests, options)) together[index] = tokens;
  expect(together).toEqual(alone);
});

test('drafts that are not allowed do not go through the model', async () => {
  const onlyNine: TokenConstraint = {
    next: (token) => (token === 9 ? onlyNine : null),
    allow: (mask) => void (mask[0] = 1 << 9),
  };
  const constraint = onlyNine;
  const options = { maxTokens: 12, ignoreEos: true, constraint, speculation: { tree: 'full', widths: [8] } };
  const generation = generate(model, tokenizer, 'abc', options as GenerateOptions);
  const tokens: number[] = [];
  for await (const piece of generation) tokens.push(...piece.tokens);
  expect(tokens).toEqual(new Array(12).fill(9));
  // Of eight alternatives, at most one is token 9.
  expect(generation.stats.drafted).toBeLessThanOrEqual(generation.stats.steps);
});

test('a constraint that allows the end of the text ends it', async () => {
  const end = tokenizer.eosId!;
  const toEnd = (left: number): TokenConstraint => ({
    next: (token) => (token === (left > 0 ? 65 : end) ? toEnd(left - 1) : null),
    allow: (mask) => {
      const token = left > 0 ? 65 : end;
      mask[token >> 5]! |= 1 << (token & 31);
    },
  });
  const generation = generate(model, tokenizer, 'abc', { constraint: toEnd(5) });
  let text = '';
  for await (const piece of generation) text += piece.text;
  expect(text).toBe('AAAAA');
  expect(generation.stats.finishReason).toBe('eos');
});

const broken: [string, TokenConstraint, unknown, isDrawn: boolean][] = [
  [
    'allow throws',
    {
      next: () => broken[0]![1],
      allow: () => {
        throw new Error('no mask');
      },
    },
    new Error('no mask'),
    false,
  ],
  [
    'next throws',
    {
      next: () => {
        throw new Error('no state');
      },
      allow: (mask) => void mask.fill(-1),
    },
    new Error('no state'),
    true,
  ],
  [
    'nothing is allowed',
    { next: () => null, allow: () => undefined },
    foretokenError('DIVERGED', 'no token can be drawn for position 3'),
    false,
  ],
  [
    'next refuses what allow allows',
    { next: () => null, allow: (mask) => void mask.fill(-1) },
    foretokenError('INVALID_ARGUMENT', 'generate: constraint.next(', 'is null, although'),
    true,
  ],
  [
    'next returns something else',
    { next: () => 5 as never, allow: (mask) => void mask.fill(-1) },
    foretokenError('INVALID_ARGUMENT', 'generate: constraint.next(', 'must return an object'),
    true,
  ],
];

test.each(broken)('ends its text alone if %s', async (_, constraint, error, isDrawn) => {
  const options = { maxTokens: 8, ignoreEos: true };
  const alone = await tokensOf(model, [...tokenizer.encode('abc')], options);
  using language = new LanguageModel(randomModel(device, description), tokenizer);
  const requests = [
    { prompt: 'abc', constraint, speculation: 'none' as const },
    { prompt: 'abc', constraint },
    'abc',
  ];
  for await (const text of language.generateMany(requests, options)) {
    if (text.index === 2) expect(text.tokens).toEqual(alone);
    else expect(text.error).toEqual(error);
    // A token that was drawn before the constraint fails is not lost.
    if (text.index === 0) expect(text.tokens).toHaveLength(isDrawn ? 1 : 0);
  }
});

test.each([{}, { next: () => null }, 5])('refuses %j', (constraint) => {
  expect(() => generate(model, tokenizer, 'abc', { constraint: constraint as never })).toThrow(
    'generate: constraint must be an object with the functions next and allow',
  );
});
