import { generate, type Generation } from '../../lib/decode/generate';
import type { GeneratedPiece } from '../../lib/decode/output-limiter';
import type { GenerateOptions, Speculation } from '../../lib/decode/options';
import { MtpModel } from '../../lib/model/model';
import { byteTokenizerFiles, createTokenizer } from '../../lib/model/tokenizer';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { byteFallback } from '../model/tokenizer/examples';

const tokenizer = createTokenizer(byteTokenizerFiles());
const EOS = tokenizer.eosId!;

let device: Device;
let model: MtpModel;
/** With the vocabulary of `byteFallback`. */
let fallbackModel: MtpModel;

beforeAll(() => {
  device = openDevice('cpu', { threads: 2, poison: true });
  model = new MtpModel(
    device,
    {
      vocabSize: tokenizer.vocabSize,
      hiddenSize: 32,
      numHiddenLayers: 2,
      numAttentionHeads: 2,
      maxPositionEmbeddings: 128,
      initializerRange: 0.3,
      mtp: { kind: 'parallel', numHeads: 4 },
    },
    { seed: 3 },
  );
  fallbackModel = new MtpModel(device, { ...model.config, vocabSize: 266, bosTokenId: 1 });
});

afterAll(() => {
  fallbackModel.dispose();
  model.dispose();
  device.dispose();
});

async function collect(generation: Generation): Promise<GeneratedPiece[]> {
  const pieces: GeneratedPiece[] = [];
  for await (const piece of generation) pieces.push(piece);
  return pieces;
}

function run(prompt: string, options: GenerateOptions): Generation {
  return generate(model, tokenizer, prompt, options);
}

/** A bias that leaves only this token to draw. */
const always = (token: number): GenerateOptions => ({ logitBias: new Map([[token, 1e6]]) });
const FULL = { tree: 'full', widths: [2, 2, 2] } as const;

describe('generate', () => {
  it('ends exactly at maxTokens, even within accepted drafts', async () => {
    for (const maxTokens of [0, 1, 2, 3, 5, 9]) {
      const generation = run('abc', { ...always(65), maxTokens, speculation: FULL });
      const pieces = await collect(generation);
      expect(pieces.map(({ text }) => text).join('')).toBe('A'.repeat(maxTokens));
      expect(generation.stats).toMatchObject({ tokens: maxTokens, finishReason: 'length' });
    }
  });

  it('ends at the end-of-text token, without text for it, unless ignoreEos is set', async () => {
    const ended = run('abc', { ...always(EOS), speculation: FULL });
    const pieces = await collect(ended);
    expect(pieces.flatMap(({ tokens }) => tokens)).toEqual([EOS]);
    expect(pieces.map(({ text }) => text).join('')).toBe('');
    expect(ended.stats.finishReason).toBe('eos');
    const on = await collect(
      run('abc', { ...always(EOS), ignoreEos: true, maxTokens: 7, speculation: FULL }),
    );
    expect(on.flatMap(({ tokens }) => tokens)).toEqual(new Array<number>(7).fill(EOS));
  });

  it('begins with the space of the first word, which a text of its own would drop, and finds it in a stop string', async () => {
    const words = createTokenizer({ 'tokenizer.json': JSON.stringify(byteFallback()) });
    const word = { ...always(262), maxTokens: 2 };
    const textOf = async (prompt: string, more: GenerateOptions = {}): Promise<string> => {
      const pieces = await collect(generate(fallbackModel, words, prompt, { ...word, ...more }));
      return pieces.map(({ text }) => text).join('');
    };
    expect(await textOf('ab')).toBe(' a a');
    expect(await textOf('')).toBe('a a');
    expect(await textOf('ab', { stop: ' a' })).toBe('');
  });

  it('does not begin behind the token that ends a text, unless the prompt has it', async () => {
    const config = { bos_token: '<s>', eos_token: '</s>', add_bos_token: true, add_eos_token: true };
    const ending = createTokenizer({
      'tokenizer.json': JSON.stringify(byteFallback()),
      'tokenizer_config.json': JSON.stringify(config),
    });
    const promptTokens = (prompt: string): number =>
      generate(fallbackModel, ending, prompt, { maxTokens: 1 }).stats.promptTokens;
    expect(promptTokens('a')).toBe(2);
    expect(promptTokens('a</s>')).toBe(4);
  });

  it('ends right before a stop string, even within accepted drafts', async () => {
    for (const speculation of ['none', FULL] as const) {
      const generation = run('abc', { ...always(66), stop: ['xyz', 'BBB'], speculation });
      const pieces = await collect(generation);
      expect(pieces.map(({ text }) => text).join('')).toBe('');
      expect(pieces.flatMap(({ tokens }) => tokens)).toEqual([66, 66, 66]);
      expect(generation.stats.finishReason).toBe('stop');
    }
  });

  it('yields the end of a text that only began like a stop string', async () => {
    const pieces = await collect(run('abc', { ...always(66), stop: 'BBBx', maxTokens: 5 }));
    expect(pieces.map(({ text }) => text).join('')).toBe('BBBBB');
  });

  it('stops at the last position of the model', async () => {
    const generation = run('a'.repeat(120), { maxTokens: 50, ignoreEos: true, speculation: FULL });
    await collect(generation);
    expect(generation.stats).toMatchObject({ tokens: 8, finishReason: 'length' });
  });

  it('rejects with the reason of an aborted signal and frees everything', async () => {
    const before = native.liveTensors();
    const controller = new AbortController();
    const generation = run('abc', { signal: controller.signal, ignoreEos: true, maxTokens: 100 });
    const reason = new Error('enough');
    const iterate = async (): Promise<void> => {
      let pieces = 0;
      for await (const piece of generation) if (piece && ++pieces === 3) controller.abort(reason);
    };
    await expect(iterate()).rejects.toBe(reason);
    expect(generation.stats.tokens).toBeGreaterThan(0);
    // The model keeps its packed weights.
    await collect(run('abc', { maxTokens: 1 }));
    expect(native.liveTensors()).toBeLessThanOrEqual(before + 40);
  });

  it('leaves no tensors behind, even if the consumer stops reading', async () => {
    await collect(run('abc', { maxTokens: 4, ignoreEos: true }));
    const before = native.liveTensors();
    for await (const piece of run('abc', { maxTokens: 50, ignoreEos: true })) if (piece) break;
    await collect(run('abc', { maxTokens: 20, ignoreEos: true, speculation: FULL }));
    expect(native.liveTensors()).toBe(before);
  });

  it('counts steps, drafts and acceptance', async () => {
    const plain = run('abc', { ...always(65), maxTokens: 12, speculation: 'none' });
    await collect(plain);
    expect(plain.stats).toMatchObject({
      promptTokens: 3,
      steps: 12,
      tokensPerStep: 1,
      drafted: 0,
      accepted: 0,
    });
    const tree = run('abc', { ignoreEos: true, maxTokens: 30, speculation: { tree: 'chain' } });
    const pieces = await collect(tree);
    const { steps, drafted, tokens, cumulativeAcceptance } = tree.stats;
    expect(tokens).toBe(30);
    expect(steps).toBe(pieces.length);
    expect(drafted).toBe(3 * steps);
    expect(cumulativeAcceptance).toHaveLength(3);
  });

  it('counts only what belongs to the text, if it ends within accepted drafts', async () => {
    for (const maxTokens of [1, 2, 6]) {
      const generation = run('abc', { ...always(65), maxTokens, speculation: { tree: 'chain' } });
      await collect(generation);
      const { tokens, accepted, steps, tokensPerStep } = generation.stats;
      expect(tokens).toBe(maxTokens);
      expect(tokensPerStep * steps).toBeCloseTo(tokens);
      expect(accepted).toBe(tokens - steps);
    }
  });

  it('generates the same text with statistics of its own at every iteration', async () => {
    const generation = run('abc', { maxTokens: 5, ignoreEos: true, seed: 1, temperature: 1 });
    const tokensOf = async (): Promise<number[]> =>
      (await collect(generation)).flatMap((piece) => piece.tokens);
    const first = await tokensOf();
    const { tokens, promptTokens } = generation.stats;
    expect(await tokensOf()).toEqual(first);
    expect(generation.stats).toMatchObject({ tokens, promptTokens, finishReason: 'length' });
  });

  it('rejects within one piece of the prompt when it is aborted', async () => {
    const controller = new AbortController();
    const reads = jest.spyOn(MtpModel.prototype, 'trunk');
    try {
      const long = 'x'.repeat(126);
      const pieces = run(long, { maxTokens: 1, signal: controller.signal })[Symbol.asyncIterator]();
      const first = pieces.next();
      controller.abort(new Error('no more'));
      await expect(first).rejects.toThrow('no more');
      expect(reads).toHaveBeenCalledTimes(1);
    } finally {
      reads.mockRestore();
    }
  });

  it.each([
    [{ temperature: -1 }, 'temperature'],
    [{ topP: 2 }, 'generate: topP must be a number from 0 to 1, but is 2'],
    [{ topK: 1.5 }, 'topK'],
    [{ seed: -1 }, 'seed'],
    [{ maxTokens: -1 }, 'maxTokens'],
    [{ logitBias: new Map([[9999, 1]]) }, 'logitBias'],
    [{ speculation: { tree: 'chain', depth: 9 } }, 'depth'],
    [{ speculation: { tree: 'full', widths: [9, 9, 9] } }, 'nodes'],
    [{ speculation: { tree: 'bush' } }, 'bush'],
    [{ speculation: { tree: 'best', depth: 2 } }, 'speculation has no option depth'],
    [{ max_tokens: 5 }, 'generate has no option max_tokens (given: 5); do you mean maxTokens?'],
    [{ maxTokens: '5' }, 'generate: maxTokens must be an integer of at least 0, or Infinity, but is "5"'],
    [{ stop: 5 }, 'generate: stop must be a string, or an array'],
    [{ stop: ['a', null] }, 'generate: stop[1] must be a string, but is null'],
    [{ signal: new AbortController() }, 'generate: signal must be an AbortSignal, but is an AbortController'],
    [{ logitBias: [[1, 2]] }, 'generate: logitBias must be a Map of token ids to numbers, but is […]'],
    [{ logitBias: { 1: 2 } }, 'generate: logitBias must be a Map of token ids to numbers'],
  ])('refuses %j at the call and names it', (options, name) => {
    expect(() => run('abc', options as GenerateOptions)).toThrow(name);
  });

  it.each<Speculation>([
    { tree: 'best', nodes: 40 },
    { tree: 'adaptive', maxNodes: 40 },
    { tree: 'full', widths: [5, 5] },
  ])('drafts in a vocabulary of five tokens: %j', async (speculation) => {
    using tiny = new MtpModel(
      device,
      {
        ...{ vocabSize: 5, hiddenSize: 16, numHiddenLayers: 1, numAttentionHeads: 2 },
        ...{ maxPositionEmbeddings: 64, initializerRange: 0.5, mtp: { kind: 'medusa', numHeads: 3 } },
      },
      { seed: 1 },
    );
    const tokensOf = async (options: GenerateOptions): Promise<number[]> => {
      const all = { ignoreEos: true, maxTokens: 40, ...options };
      return (await collect(generate(tiny, tokenizer, [1, 2, 3], all))).flatMap(({ tokens }) => tokens);
    };
    const generation = await tokensOf({ speculation });
    expect(generation).toHaveLength(40);
    expect(generation).toEqual(await tokensOf({ speculation: 'none' }));
    expect(() => generate(tiny, tokenizer, [1], { speculation: { tree: 'full', widths: [2, 6] } })).toThrow(
      'generate: speculation.widths[1] must be an integer from 1 to 5, but is 6',
    );
  });

  it('generates as many tokens as the model has positions', async () => {
    const generation = run('abc', { maxTokens: Infinity, ignoreEos: true });
    await collect(generation);
    expect(generation.stats.tokens).toBe(model.config.maxPositionEmbeddings - 3);
  });

  it('replaces an empty prompt by the token that begins a text', async () => {
    const tokens = async (generation: Generation): Promise<number[]> =>
      (await collect(generation)).flatMap((piece) => piece.tokens);
    const options = { maxTokens: 5, ignoreEos: true };
    const expected = await tokens(generate(model, tokenizer, [tokenizer.bosId!], options));
    expect(expected).toHaveLength(5);
    expect(await tokens(run('', options))).toEqual(expected);
    expect(await tokens(generate(model, tokenizer, [], options))).toEqual(expected);
  });

  it('refuses an empty prompt if no token begins a text, with advice', () => {
    const files = { 'tokenizer.json': byteTokenizerFiles()['tokenizer.json']! };
    const none = createTokenizer(files);
    expect(() => generate(model, none, '')).toThrow(
      'prompt is empty, and the model names no token that begins a text (bos_token); give a prompt',
    );
    const ends = createTokenizer({ ...files, 'tokenizer_config.json': '{"eos_token": "<|endoftext|>"}' });
    expect(() => generate(model, ends, '')).toThrow('give a prompt, or [256], the token that ends one');
  });

  it('refuses prompts that cannot be continued', () => {
    expect(() => run('a'.repeat(128), {})).toThrow('prompt has 128 tokens, but the model has 128 positions');
    expect(() => generate(model, tokenizer, [1, 700], {})).toThrow(
      'generate: prompt[1] must be an integer from 0 to',
    );
  });
});
