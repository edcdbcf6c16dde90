import { ForetokenError } from '../../errors';
import { ropeFrequencies, type RopeScaling } from '../../nn/rope-frequencies';
import { snakeCased } from '../fields';
import { corrupt } from './format';
import type { Metadata } from './metadata';

type Json = Record<string, unknown>;

/**
 * Translates the scaling of rotary angles to Hugging Face's `rope_scaling`; null without.
 * @param factors contents of the tensor `rope_freqs.weight`, by which the frequencies of Llama 3.1 are divided
 */
export function ropeScaling(
  metadata: Metadata,
  key: (name: string) => string,
  theta: number,
  headDim: number,
  factors: Float32Array | undefined,
): Json | null {
  // The older name of the same number.
  const older = metadata.number(key('rope.scale_linear'));
  const factor = metadata.number(key('rope.scaling.factor')) ?? older;
  const type = metadata.string(key('rope.scaling.type')) ?? 'linear';
  const original = metadata.integer(key('rope.scaling.original_context_length'));
  metadata.take(key('rope.scaling.finetuned'));
  if (factors?.some((value) => value !== 1)) {
    if (factors.length !== headDim / 2)
      throw corrupt(
        metadata.path,
        `tensor "rope_freqs.weight" has ${factors.length} factors, but there are ${headDim / 2} frequencies`,
      );
    if (factor !== undefined && factor !== 1)
      metadata.fail(key('rope.scaling.factor'), `is ${factor}, beside factors in rope_freqs.weight`);
    return llama3Scaling(metadata, factors, theta, headDim);
  }
  const isOff =
    type === 'none' || (type === 'linear' && (factor === undefined || factor === 0 || factor === 1));
  if (isOff) return null;
  if (type === 'linear') return { rope_type: type, factor };
  if (type !== 'yarn') return { rope_type: type };
  const yarn = {
    rope_type: type,
    factor: metadata.required(key('rope.scaling.factor'), factor),
    original_max_position_embeddings: original,
    attention_factor: metadata.number(key('rope.scaling.yarn_attn_factor')),
    beta_fast: metadata.number(key('rope.scaling.yarn_beta_fast')),
    beta_slow: metadata.number(key('rope.scaling.yarn_beta_slow')),
  };
  return Object.fromEntries(Object.entries(yarn).filter(([, value]) => value !== undefined));
}

/** By how much float32 may have moved a stored factor, times two. */
const TOLERANCE = 1e-6;

type Llama3 = Extract<RopeScaling, { ropeType: 'llama3' }>;

/**
 * Finds the parameters of Llama 3's scaling that give these factors. Frequencies f whose wavelength is long are divided by `factor`,
 * those whose wavelength is short by 1, and those between by 1 / ((1 − s) / factor + s), where
 * s = (original · f / 2π − low) / (high − low). With low = 1, which only fixes a common unit, s is a straight line in f.
 */
function llama3Scaling(metadata: Metadata, factors: Float32Array, theta: number, headDim: number): Json {
  const turns = Array.from(factors, (_, i) => theta ** ((-2 * i) / headDim) / (2 * Math.PI));
  const factor = Math.max(...factors);
  const s = (value: number) => (1 / value - 1 / factor) / (1 - 1 / factor);
  const between = [...factors.keys()].filter((i) => factors[i]! > 1 && factors[i]! < factor);
  const candidate = (high: number, original: number): Llama3 => ({
    ...{ ropeType: 'llama3', factor, lowFreqFactor: 1, highFreqFactor: high },
    originalMaxPositionEmbeddings: original,
  });
  const candidates = [candidate(4, 8192)];
  const [first, last] = [between[0], between.at(-1)];
  if (first !== undefined && first === last) {
    candidates.push(candidate(4, Math.round((3 * s(factors[first]!) + 1) / turns[first]!)));
  } else if (first !== undefined && last !== undefined) {
    const slope = (s(factors[first]!) - s(factors[last]!)) / (turns[first]! - turns[last]!);
    const high = 1 + 1 / (slope * turns[first]! - s(factors[first]!));
    for (const rounded of [Math.round(high * 1000) / 1000, high]) {
      candidates.push(candidate(rounded, Math.round(slope * (rounded - 1))));
    }
  }
  const found = candidates.find((scaling) =>
    llama3Factors(scaling, theta, headDim).every(
      (value, i) => Math.abs(value / factors[i]! - 1) <= TOLERANCE,
    ),
  );
  if (!found) throw unknownFactors(metadata.path);
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [snakeCased(name), value]));
}

function unknownFactors(path: string): ForetokenError {
  const problem = 'tensor "rope_freqs.weight" holds factors that no scaling of Llama 3 gives';
  return new ForetokenError('UNSUPPORTED', `${path}: ${problem}`);
}

/** Computes what Llama 3's scaling divides the frequencies by. */
export function llama3Factors(scaling: Llama3, theta: number, headDim: number): number[] {
  const frequenciesOf = (by: Llama3 | null): readonly number[] =>
    // The positions of the model matter to YaRN alone.
    ropeFrequencies({ rotatedDim: headDim, theta, scaling: by, maxPositions: 1 }).frequencies;
  const scaled = frequenciesOf(scaling);
  return frequenciesOf(null).map((frequency, i) => frequency / scaled[i]!);
}
