// The committed tokens have the distribution of plain decoding: enumerated exactly, and measured.
import type { Device } from '../../../lib/tensor/device';
import type { SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import type { AcceptedPath } from '../../../lib/tensor/ops/sampling/verify-tree';
import { isEmulated, onDevice, targets } from '../../support/devices';
import { chiSquareSigmas, drawRows, tally } from '../../support/draws';
import { Random } from '../../support/random';
import { probabilities } from '../../support/sampling-oracle';
import { randomTree, tokensTo, verifyTrees, type TokenTree } from '../../support/trees';

type Distribution = Map<string, number>;

/** A language with fixed float64 probabilities of the next token after each text. */
class Language {
  readonly #rows = new Map<string, Float32Array>();

  constructor(
    readonly vocab: number,
    private readonly random: Random,
  ) {}

  logits(text: readonly number[]): Float32Array {
    const row = this.#rows.get(text.join()) ?? this.random.floats(this.vocab, 1.5);
    this.#rows.set(text.join(), row);
    return row;
  }

  next(text: readonly number[]): number[] {
    return probabilities(this.logits(text), { temperature: 1 });
  }

  /** Adds the probabilities, times `weight`, of all texts of `length` tokens that begin with `text`. */
  continuations(text: readonly number[], length: number, weight: number, into: Distribution): void {
    if (text.length === length) into.set(text.join(), (into.get(text.join()) ?? 0) + weight);
    else
      this.next(text).forEach((p, token) => this.continuations([...text, token], length, weight * p, into));
  }
}

function totalVariation(a: Distribution, b: Distribution): number {
  const texts = new Set([...a.keys(), ...b.keys()]);
  return [...texts].reduce((sum, text) => sum + Math.abs((a.get(text) ?? 0) - (b.get(text) ?? 0)), 0) / 2;
}

/** Every way in which `count` nodes may each draw one of `vocab` tokens. */
function allDraws(count: number, vocab: number): number[][] {
  let draws: number[][] = [[]];
  for (let node = 0; node < count; node++) {
    draws = draws.flatMap((before) => Array.from({ length: vocab }, (_, token) => [...before, token]));
  }
  return draws;
}

const oneHot = (vocab: number, token: number): Float32Array =>
  Float32Array.from({ length: vocab }, (_, i) => (i === token ? 1 : 0));

/** Verifies many trees, some at a time: on a GPU each block checks all trees that it is launched with. */
async function verifyAll(
  device: Device,
  trees: readonly TokenTree[],
  sampling: SamplingOptions,
): Promise<AcceptedPath[]> {
  const paths: AcceptedPath[] = [];
  for (let first = 0; first < trees.length; first += 128) {
    paths.push(...(await verifyTrees(device, trees.slice(first, first + 128), sampling)));
  }
  return paths;
}

describe.each(targets)('all outcomes on %s, enumerated', (target) => {
  it.each([
    [2, [-1, 0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 1, 0, 1]],
    [3, [-1, 0, 0, 1, 2], [0, 2, 1, 0, 1]],
    [3, [-1, 0, 0, 2, 2], [0, 1, 1, 0, 2]], // siblings with the same token
    [4, [-1, 0, 1, 1, 0], [0, 3, 3, 0, 1]],
    [5, [-1, 0, 0, 0], [0, 4, 2, 1]],
    [5, [-1], [0]],
  ])('%d tokens, parents %j, tokens %j', async (vocab, parents, tokens) => {
    const language = new Language(vocab, new Random(vocab));
    const depth = Math.max(...parents.map((_, node) => tokensTo({ parents, tokens }, node).length));
    const plain: Distribution = new Map();
    language.continuations([], depth + 1, 1, plain);
    // The kernel walks the tree once for every way in which its nodes may draw.
    const outcomes = allDraws(parents.length, vocab);
    const trees = outcomes.map((draws) => ({
      parents,
      tokens,
      length: 0,
      logits: draws.map((token) => oneHot(vocab, token)),
    }));
    const paths = await onDevice(target, (device) => verifyAll(device, trees, { temperature: 0 }));
    const speculative: Distribution = new Map();
    outcomes.forEach((draws, i) => {
      const chance = (token: number, node: number): number =>
        language.next(tokensTo({ parents, tokens }, node))[token]!;
      const weight = draws.reduce((product, token, node) => product * chance(token, node), 1);
      language.continuations(paths[i]!.tokens, depth + 1, weight, speculative);
    });
    expect(totalVariation(speculative, plain)).toBeLessThan(1e-12);
  });

  it('detect a biased rule that accepts a draft if it is likely enough', () => {
    const language = new Language(3, new Random(3));
    const [plain, biased]: [Distribution, Distribution] = [new Map(), new Map()];
    language.continuations([], 2, 1, plain);
    const draft = language.next([]).findIndex((p) => p > 0.3);
    language.continuations([draft], 2, 1, biased);
    expect(totalVariation(biased, plain)).toBeGreaterThan(0.1);
  });
});

describe.each(targets)('measured on %s', (target) => {
  const [vocab, rounds] = [4, isEmulated(target) ? 3000 : 12000];
  const position = (round: number): number => 5 * round;
  const language = new Language(vocab, new Random(8));

  /** The deviation of many decoded pairs of tokens from their distribution, in standard deviations. */
  function sigmas(texts: readonly (readonly number[])[]): number {
    const expected: Distribution = new Map();
    language.continuations([], 2, texts.length, expected);
    const kinds = [...expected.keys()];
    const counts = tally(
      texts.map((text) => kinds.indexOf(text.slice(0, 2).join())),
      kinds.length,
    );
    return chiSquareSigmas(counts, [...expected.values()]);
  }

  it('two tokens have their distribution with any trees', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(9);
      const trees = Array.from({ length: rounds }, (_, round) => {
        const tree = randomTree(random, 1 + random.integer(6), vocab);
        const logits = tree.parents.map((_, node) => language.logits(tokensTo(tree, node)));
        return { ...tree, length: position(round), logits };
      });
      const paths = await verifyAll(device, trees, { temperature: 1, seed: 12 });
      const texts = paths.map(({ tokens }) => tokens);
      expect(texts.filter(({ length }) => length > 1).length).toBeGreaterThan(rounds / 5);
      // A step that committed only one token is followed by a plain step.
      const short = texts.map((_, round) => round).filter((round) => texts[round]!.length === 1);
      const rows = short.map((round) => language.logits(texts[round]!));
      const positions = short.map((round) => position(round) + 2);
      const seconds = await drawRows(device, rows, positions, { temperature: 1, seed: 12 });
      short.forEach((round, i) => texts[round]!.push(seconds[i]!));
      expect(sigmas(texts)).toBeLessThan(4);
    });
  });

  it('two tokens with a planted bias do not', async () => {
    await onDevice(target, async (device) => {
      const at = Array.from({ length: rounds }, (_, round) => position(round) + 1);
      const draw = async (rows: Float32Array[], seed: number): Promise<number[]> =>
        drawRows(device, rows, at, { temperature: 1, seed });
      const first = await draw(
        at.map(() => language.logits([])),
        1,
      );
      const second = await draw(
        first.map((token) => language.logits([token])),
        2,
      );
      const pairs = first.map((token, i) => [token, second[i]!]);
      expect(sigmas(pairs)).toBeLessThan(4);
      // One step in twenty takes a draft that was not drawn.
      const biased = pairs.map(([one, two], i) => (i % 20 === 0 ? [0, two!] : [one!, two!]));
      expect(sigmas(biased)).toBeGreaterThan(8);
    });
  });
});
