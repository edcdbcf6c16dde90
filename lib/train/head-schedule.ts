import { ForetokenError } from '../errors';
import { checkInteger, checkNumber, unknownChoice } from '../check';

/**
 * The weight of each head's loss in the total, at least 0. Head 1, the next-token head, has weight 1 unless `constant` weights
 * set another. Steps are counted from 0.
 */
export type HeadWeightOptions =
  | {
      /** The same weights at every step. */
      readonly kind: 'constant';
      /** One for each head. Default: all 1. */
      readonly weights?: readonly number[];
    }
  | {
      /** Head k has weight beta^(k−1). */
      readonly kind: 'beta';
      /** Weight of a head relative to the head before it. */
      readonly beta: number;
    }
  | {
      /** The weight of heads 2 … n changes once. */
      readonly kind: 'step';
      /** The first step with the new weight. */
      readonly at: number;
      /** Weight of heads 2 … n before step `at`. */
      readonly before: number;
      /** Weight of heads 2 … n from step `at` on. */
      readonly after: number;
    }
  | {
      /** The weight of heads 2 … n changes linearly, then stays. */
      readonly kind: 'ramp';
      /** The first step with the final weight. */
      readonly steps: number;
      /** Weight of heads 2 … n at step 0. */
      readonly from: number;
      /** Weight of heads 2 … n from step `steps` on. */
      readonly to: number;
    };

/**
 * Returns a function from the step to the weights of heads 1 … n.
 * @throws INVALID_ARGUMENT naming the option.
 */
export function headWeightSchedule(heads: number, options: HeadWeightOptions): (step: number) => number[] {
  checkInteger('head weights: heads', heads, 1);
  const others = (weight: number) => Array.from({ length: heads }, (_, i) => (i === 0 ? 1 : weight));
  switch (options.kind) {
    case 'constant': {
      const weights = options.weights ?? others(1);
      if (weights.length !== heads) {
        const problem = `there are ${heads} heads, but ${weights.length} weights`;
        throw new ForetokenError('INVALID_ARGUMENT', `head weights: ${problem}`);
      }
      weights.forEach((weight, i) => checkNumber(`head weights: weight of head ${i + 1}`, weight, 0));
      if (weights.every((weight) => weight === 0)) {
        throw new ForetokenError(
          'INVALID_ARGUMENT',
          'head weights: all are 0; at least one must be positive',
        );
      }
      return () => [...weights];
    }
    case 'beta': {
      const beta = checkNumber('head weights: beta', options.beta, 0);
      return () => Array.from({ length: heads }, (_, i) => beta ** i);
    }
    case 'step': {
      const at = checkInteger('head weights: at', options.at, 0);
      const before = checkNumber('head weights: before', options.before, 0);
      const after = checkNumber('head weights: after', options.after, 0);
      return (step) => others(step < at ? before : after);
    }
    case 'ramp': {
      const steps = checkInteger('head weights: steps', options.steps, 1);
      const from = checkNumber('head weights: from', options.from, 0);
      const to = checkNumber('head weights: to', options.to, 0);
      return (step) => others(from + (to - from) * Math.min(1, step / steps));
    }
    default:
      throw unknownChoice('head weights: kind', (options as { kind: never }).kind, [
        'constant',
        'beta',
        'step',
        'ramp',
      ]);
  }
}

/** Selects the heads that learn at each step. */
export interface CurriculumOptions {
  /** `forward` begins with head 1 and adds one head after another; `reverse` begins with all heads and ends with head 1. */
  readonly kind: 'forward' | 'reverse';
  /** Steps of the curriculum, an equal part for every number of heads. The last number of heads stays. */
  readonly steps: number;
}

/**
 * Returns a function from the step to the number of heads, counted from head 1, that are trained.
 * @throws INVALID_ARGUMENT naming the option.
 */
export function headCurriculum(heads: number, { kind, steps }: CurriculumOptions): (step: number) => number {
  checkInteger('curriculum: heads', heads, 1);
  checkInteger('curriculum: steps', steps, 1);
  const stage = (step: number) => Math.min(heads - 1, Math.floor((step * heads) / steps));
  switch (kind) {
    case 'forward':
      return (step) => stage(step) + 1;
    case 'reverse':
      return (step) => heads - stage(step);
    default:
      throw unknownChoice('curriculum: kind', kind, ['forward', 'reverse']);
  }
}
