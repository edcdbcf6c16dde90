// Verification of draft trees gives the tokens of plain decoding, for any drafts.
import type { ActivationDType } from '../../../lib/native/binding';
import { linear } from '../../../lib/tensor/ops/linear/linear';
import { sampleLogits, type SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import type { Device } from '../../../lib/tensor/device';
import { readPaths, verifyTree, type AcceptedPath } from '../../../lib/tensor/ops/sampling/verify-tree';
import { bfloat16Targets, onDevice, targets } from '../../support/devices';
import { drawRows, takeIndices } from '../../support/draws';
import { representable, tensorOf } from '../../support/half';
import { Random } from '../../support/random';
import { randomTree, tokensTo, verifyTrees, type TokenTree } from '../../support/trees';

/** A language model with fixed logits for each text. */
class TableModel {
  readonly #rows = new Map<string, Float32Array>();

  constructor(
    readonly vocab: number,
    private readonly random: Random,
    private readonly scale: number,
  ) {}

  /** Logits that bfloat16 can hold as well. */
  logits(text: readonly number[]): Float32Array {
    const key = text.join();
    const known =
      this.#rows.get(key) ?? representable(this.random.floats(this.vocab, this.scale), 'bfloat16');
    this.#rows.set(key, known);
    return known;
  }

  /** Puts a tree after a text, with this model's logits at its nodes. */
  plant(
    tree: Pick<TokenTree, 'parents' | 'tokens'>,
    text: readonly number[],
    promptLength: number,
  ): TokenTree {
    const tokens = [text.at(-1)!, ...tree.tokens.slice(1)];
    const logits = tokens.map((_, node) => this.logits([...text, ...tokensTo(tree, node)]));
    return {
      parents: tree.parents,
      tokens,
      length: text.length - 1,
      logits,
      history: { tokens: text, promptLength },
    };
  }

  /** Plain decoding: one draw after another. */
  async continue(
    device: Device,
    text: readonly number[],
    promptLength: number,
    count: number,
    options: SamplingOptions,
  ): Promise<number[]> {
    const output = [...text];
    while (output.length < text.length + count) {
      const history = { tokens: output, promptLength };
      output.push(...(await drawRows(device, [this.logits(output)], [output.length], options, history)));
    }
    return output.slice(text.length);
  }
}

const everyOption: SamplingOptions[] = [
  { temperature: 0 },
  { temperature: 1 },
  { temperature: 0.7, seed: 2n ** 40n },
  { temperature: 1, topK: 3 },
  { temperature: 1, topP: 0.8 },
  { temperature: 1, minP: 0.2 },
  { temperature: 0, repetitionPenalty: 3 },
  { temperature: 1, repetitionPenalty: 2, frequencyPenalty: 0.8, presencePenalty: -1 },
  {
    temperature: 1,
    logitBias: new Map([
      [1, 1.5],
      [0, -Infinity],
    ]),
  },
  {
    ...{ temperature: 0.9, topK: 5, topP: 0.9, minP: 0.02, seed: 5 },
    ...{
      repetitionPenalty: 1.3,
      frequencyPenalty: 0.2,
      presencePenalty: 0.3,
      logitBias: new Map([[2, 0.5]]),
    },
  },
];

describe.each(targets)('on %s', (target) => {
  const dtypes: ActivationDType[] = bfloat16Targets.includes(target) ? ['float32', 'bfloat16'] : ['float32'];

  it.each(everyOption)('speculative output is plain output with %j', async (options) => {
    await onDevice(target, async (device) => {
      const random = new Random(1);
      const model = new TableModel(6, random, 2);
      let accepted = 0;
      for (let round = 0; round < 6; round++) {
        const text = Array.from({ length: 1 + random.integer(5) }, () => random.integer(6));
        const promptLength = random.integer(text.length + 1);
        const plain = await model.continue(device, text, promptLength, 24, options);
        for (const dtype of dtypes) {
          const output: number[] = [];
          while (output.length < 12) {
            const tree = randomTree(random, 1 + random.integer(40), 6);
            const trees = [model.plant(tree, [...text, ...output], promptLength)];
            const [path] = await verifyTrees(device, trees, options, dtype);
            output.push(...path!.tokens);
            accepted += path!.tokens.length - 1;
          }
          expect(output).toEqual(plain.slice(0, output.length));
        }
      }
      expect(accepted).toBeGreaterThan(5);
    });
  });

  it.each(everyOption)('sequences side by side do not change each other with %j', async (options) => {
    await onDevice(target, async (device) => {
      const random = new Random(2);
      const model = new TableModel(7, random, 2);
      const trees = Array.from({ length: 9 }, () => {
        const text = Array.from({ length: 1 + random.integer(9) }, () => random.integer(7));
        return model.plant(randomTree(random, 1 + random.integer(30), 7), text, 1);
      });
      const alone: AcceptedPath[] = [];
      for (const tree of trees) alone.push(...(await verifyTrees(device, [tree], options)));
      for (const dtype of dtypes) expect(await verifyTrees(device, trees, options, dtype)).toEqual(alone);
      expect(Math.max(...alone.map(({ nodes }) => nodes.length))).toBeGreaterThan(1);
    });
  });

  it.each(everyOption)('padding changes no path with %j', async (options) => {
    await onDevice(target, async (device) => {
      const random = new Random(5);
      const model = new TableModel(7, random, 2);
      const trees = Array.from({ length: 3 }, () => {
        const text = Array.from({ length: 1 + random.integer(9) }, () => random.integer(7));
        return model.plant(randomTree(random, 1 + random.integer(30), 7), text, 1);
      });
      for (const dtype of dtypes) {
        for (const some of [trees, trees.slice(0, 1)]) {
          const paths = await verifyTrees(device, some, options, dtype);
          for (const padding of [
            { rows: 1, isKnown: true },
            { rows: 50, isKnown: false },
          ]) {
            expect(await verifyTrees(device, some, options, dtype, padding)).toEqual(paths);
          }
        }
      }
    });
  });

  // Enough tokens for larger blocks.
  it.each(everyOption)('roots draw the same of 5000 tokens as sampleLogits with %j', async (options) => {
    await onDevice(target, async (device) => {
      const [vocab, dim, rows, length] = [5000, 3, 3, 20];
      const random = new Random(4);
      const [states, weights] = [random.floats(rows * dim), random.floats(vocab * dim, 6)].map((values) =>
        representable(values, 'bfloat16'),
      );
      const history = Array.from({ length: rows }, () => ({
        tokens: Array.from({ length }, () => random.integer(vocab)),
        promptLength: 8,
      }));
      const tree = uploadTrees(
        device,
        history.map(() => ({ parents: [-1], length: length - 1 })),
      );
      const tokens = device.tensor(Int32Array.from(history, (text) => text.tokens.at(-1)!));
      const at = device.tensor(Int32Array.of(length));
      for (const dtype of dtypes) {
        const hidden = tensorOf(device, states!, [rows, dim], dtype);
        const weight = tensorOf(device, weights!, [vocab, dim], dtype);
        const verified = verifyTree({ hidden, weight, tokens, tree, sampling: options, history });
        const paths = await readPaths(verified, tree);
        const logits = linear(hidden, weight, undefined, 'float32');
        for (let r = 0; r < rows; r++) {
          const row = logits.view(r * vocab, [1, vocab]);
          expect(paths[r]!.tokens).toEqual(await takeIndices(sampleLogits(row, at, options, history[r])));
        }
      }
    });
  });

  it('permuted siblings and added nodes change no token', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(3);
      const model = new TableModel(5, random, 1);
      for (const options of [{ temperature: 1 }, { temperature: 1, presencePenalty: 0.5 }]) {
        for (let round = 0; round < 10; round++) {
          const tree = randomTree(random, 25, 5);
          const text = [round % 5];
          const [path] = await verifyTrees(device, [model.plant(tree, text, 1)], options);
          // A random order in which parents stand before their children.
          const order = [0];
          while (order.length < 25) {
            const open = tree.parents
              .map((_, node) => node)
              .filter((node) => {
                return !order.includes(node) && order.includes(tree.parents[node]!);
              });
            order.push(open[random.integer(open.length)]!);
          }
          const permuted = {
            parents: order.map((node) => (node === 0 ? -1 : order.indexOf(tree.parents[node]!))),
            tokens: order.map((node) => tree.tokens[node]!),
          };
          const [same] = await verifyTrees(device, [model.plant(permuted, text, 1)], options);
          // The walk follows the first of two siblings with the same token, so a path may end earlier but must not differ.
          const common = Math.min(path!.tokens.length, same!.tokens.length);
          expect(same!.tokens.slice(0, common)).toEqual(path!.tokens.slice(0, common));
          const grown = { parents: [...tree.parents], tokens: [...tree.tokens] };
          for (let i = 0; i < 20; i++) {
            grown.parents.push(random.integer(grown.parents.length));
            grown.tokens.push(random.integer(5));
          }
          const [more] = await verifyTrees(device, [model.plant(grown, text, 1)], options);
          expect(more!.tokens.slice(0, path!.tokens.length)).toEqual(path!.tokens);
        }
      }
    });
  });
});

describe.each(targets)('paths on %s', (target) => {
  const draws = (token: number): Float32Array =>
    Float32Array.from({ length: 4 }, (_, i) => (i === token ? 1 : 0));
  const walk = async (parents: number[], tokens: number[], drawn: number[]): Promise<AcceptedPath> =>
    onDevice(target, async (device) => {
      const [path] = await verifyTrees(
        device,
        [{ parents, tokens, length: 3, logits: drawn.map(draws) }],
        {},
      );
      return path!;
    });

  it('of a root alone', async () => {
    expect(await walk([-1], [0], [2])).toEqual({ nodes: [0], tokens: [2] });
  });

  it('of the first of siblings with the same token', async () => {
    // Node 3 is a child of the second sibling and is never visited.
    expect(await walk([-1, 0, 0, 2], [0, 1, 1, 3], [1, 3, 3, 0])).toEqual({ nodes: [0, 1], tokens: [1, 3] });
  });

  it('of a deep chain, all right and all wrong', async () => {
    const depth = 300;
    const parents = Array.from({ length: depth }, (_, i) => i - 1);
    const tokens = parents.map((_, i) => i % 4);
    const next = parents.map((_, i) => (i + 1) % 4);
    expect(await walk(parents, tokens, next)).toEqual({ nodes: parents.map((p) => p + 1), tokens: next });
    expect(await walk(parents, tokens, tokens)).toEqual({ nodes: [0], tokens: [0] });
  });

  it('of a wide star', async () => {
    const parents = [-1, ...new Array<number>(200).fill(0)];
    const tokens = [0, ...new Array<number>(199).fill(1), 3];
    const path = await walk(parents, tokens, [3, ...new Array<number>(199).fill(2), 1]);
    expect(path).toEqual({ nodes: [0, 200], tokens: [3, 1] });
  });

  it('never through a node with the right token under another parent', async () => {
    expect(await walk([-1, 0, 1, 0], [0, 2, 3, 1], [3, 0, 0, 0])).toEqual({ nodes: [0], tokens: [3] });
  });
});
