import { boolean, integer, nullable, number, required, variants, type Checker } from '../check';
import { LARGEST_INT } from '../tensor/checks';

/** How rotary angles are changed for texts longer than those of pretraining, in camelCased names of Hugging Face. */
export type RopeScaling =
  | {
      /** Divides all angles by `factor` (Chen et al. 2023, position interpolation). */
      ropeType: 'linear';
      /** How much longer texts get. */
      factor: number;
    }
  | {
      /** Divides the angles of long wavelengths (Llama 3.1). */
      ropeType: 'llama3';
      /** How much longer texts get. */
      factor: number;
      /** Wavelengths above originalMaxPositionEmbeddings / lowFreqFactor are divided. */
      lowFreqFactor: number;
      /** Wavelengths below originalMaxPositionEmbeddings / highFreqFactor are kept; between the two, the angles are blended. */
      highFreqFactor: number;
      /** Positions of pretraining. */
      originalMaxPositionEmbeddings: number;
    }
  | {
      /** Blends angles by the number of their rotations in a text of pretraining (Peng et al. 2023, YaRN). */
      ropeType: 'yarn';
      /** How much longer texts get. */
      factor: number;
      /** Positions of pretraining. Default: the model's positions. */
      originalMaxPositionEmbeddings?: number | null;
      /** Factor of cosines and sines. Default: 0.1 ln(factor) + 1, or the quotient that `mscale` and `mscaleAllDim` give. */
      attentionFactor?: number | null;
      /** Weight of the logarithm in the numerator of the attention factor (DeepSeek). */
      mscale?: number | null;
      /** Weight of the logarithm in its denominator. */
      mscaleAllDim?: number | null;
      /** Angles with more rotations are kept. Default 32. */
      betaFast?: number | null;
      /** Angles with fewer rotations are divided. Default 1. */
      betaSlow?: number | null;
      /** Whether the blended range of dimensions is rounded to whole ones. Default true. */
      truncate?: boolean | null;
    };

const factor = required(number(Number.MIN_VALUE));
const positions = integer(1, LARGEST_INT);
const optional = nullable(number(0));

/** The options of each kind of scaling. */
export const ROPE_SCALINGS = {
  linear: { factor },
  llama3: {
    factor,
    lowFreqFactor: factor,
    highFreqFactor: factor,
    originalMaxPositionEmbeddings: required(positions),
  },
  yarn: {
    factor,
    originalMaxPositionEmbeddings: nullable(positions),
    attentionFactor: optional,
    mscale: optional,
    mscaleAllDim: optional,
    betaFast: optional,
    betaSlow: optional,
    truncate: nullable(boolean),
  },
} as const;

export const ROPE_SCALING: Checker<RopeScaling> = variants<RopeScaling, 'ropeType'>(
  'ropeType',
  ROPE_SCALINGS,
);

/** Describes rotary angles, except for the position. */
export interface RopeOptions {
  /** Rotated numbers of a head, even. */
  rotatedDim: number;
  /** Base of the angles. */
  theta: number;
  /** How the angles are changed; null for those of Su et al. 2021. */
  scaling: RopeScaling | null;
  /** Positions of the model. */
  maxPositions: number;
}

/** Rotary angles: that of pair i is position · frequencies[i]. */
export interface RopeFrequencies {
  /** `[rotatedDim / 2]` */
  readonly frequencies: readonly number[];
  /** Factor of cosines and sines. */
  readonly scale: number;
}

/** Computes the frequencies of rotary angles as transformers does, in float64. */
export function ropeFrequencies({ rotatedDim, theta, scaling, maxPositions }: RopeOptions): RopeFrequencies {
  const half = rotatedDim / 2;
  const plain = Array.from({ length: half }, (_, i) => theta ** (-i / half));
  switch (scaling?.ropeType) {
    case undefined:
      return { frequencies: plain, scale: 1 };
    case 'linear':
      return { frequencies: plain.map((frequency) => frequency / scaling.factor), scale: 1 };
    case 'llama3':
      return { frequencies: plain.map((frequency) => llama3(frequency, scaling)), scale: 1 };
    case 'yarn':
      return yarn(plain, theta, scaling, maxPositions);
  }
}

function llama3(frequency: number, scaling: Extract<RopeScaling, { ropeType: 'llama3' }>): number {
  const { lowFreqFactor: low, highFreqFactor: high } = scaling;
  // How often the angle turns within a text of pretraining, in units in which the factors are given.
  const turns = (scaling.originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
  const divided = frequency / scaling.factor;
  if (turns < low) return divided;
  if (turns > high) return frequency;
  const kept = (turns - low) / (high - low);
  return (1 - kept) * divided + kept * frequency;
}

function yarn(
  plain: readonly number[],
  theta: number,
  scaling: Extract<RopeScaling, { ropeType: 'yarn' }>,
  maxPositions: number,
): RopeFrequencies {
  const { factor: by, mscale, mscaleAllDim, truncate } = scaling;
  const original = scaling.originalMaxPositionEmbeddings ?? maxPositions;
  const dim = 2 * plain.length;
  // The dimension whose angle turns so often within a text of pretraining.
  const dimensionOf = (turns: number): number =>
    (dim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const whole = truncate ?? true;
  const first = dimensionOf(scaling.betaFast ?? 32);
  const last = dimensionOf(scaling.betaSlow ?? 1);
  const low = Math.max(whole ? Math.floor(first) : first, 0);
  const high = Math.min(whole ? Math.ceil(last) : last, dim - 1);
  const width = high === low ? 0.001 : high - low;
  const frequencies = plain.map((frequency, i) => {
    const divided = Math.min(1, Math.max(0, (i - low) / width));
    return (frequency / by) * divided + frequency * (1 - divided);
  });
  const logarithmic = (weight: number): number => (by <= 1 ? 1 : 0.1 * weight * Math.log(by) + 1);
  const usual = mscale && mscaleAllDim ? logarithmic(mscale) / logarithmic(mscaleAllDim) : logarithmic(1);
  return { frequencies, scale: scaling.attentionFactor ?? usual };
}
