import { ForetokenError } from '../../errors';
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

/** Parameters of Llama 3's scaling. */
interface Llama3 {
  readonly factor: number;
  readonly low: number;
  readonly high: number;
  readonly original: number;
}

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
  const candidates: Llama3[] = [{ factor, low: 1, high: 4, original: 8192 }];
  const [first, last] = [between[0], between.at(-1)];
  if (first !== undefined && first === last) {
    candidates.push({
      factor,
      low: 1,
      high: 4,
      original: Math.round((3 * s(factors[first]!) + 1) / turns[first]!),
    });
  } else if (first !== undefined && last !== undefined) {
    const slope = (s(factors[first]!) - s(factors[last]!)) / (turns[first]! - turns[last]!);
    const high = 1 + 1 / (slope * turns[first]! - s(factors[first]!));
    for (const rounded of [Math.round(high * 1000) / 1000, high]) {
      candidates.push({ factor, low: 1, high: rounded, original: Math.round(slope * (rounded - 1)) });
    }
  }
  const found = candidates.find((parameters) => {
    const expected = turns.map((value) => llama3Factor(parameters, value));
    return expected.every((value, i) => Math.abs(value / factors[i]! - 1) <= TOLERANCE);
  });
  if (!found) throw unknownFactors(metadata.path);
  return {
    rope_type: 'llama3',
    factor: found.factor,
    low_freq_factor: found.low,
    high_freq_factor: found.high,
    original_max_position_embeddings: found.original,
  };
}

function unknownFactors(path: string): ForetokenError {
  const problem = 'tensor "rope_freqs.weight" holds factors that no scaling of Llama 3 gives';
  return new ForetokenError('UNSUPPORTED', `${path}: ${problem}`);
}

/** Computes the factor of one frequency, of which a position is `turns` periods. */
export function llama3Factor({ factor, low, high, original }: Llama3, turns: number): number {
  const within = original * turns; // turns within the original context
  if (within > high) return 1;
  if (within < low) return factor;
  const s = (within - low) / (high - low);
  return 1 / ((1 - s) / factor + s);
}
