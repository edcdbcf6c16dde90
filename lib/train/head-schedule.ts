import { ForetokenError } from '../errors';
import { checkInteger, checkNumber, unknownChoice } from '../check';

/**
 * The weight of each head's loss in the total, at least 0. Head 1, the next-token head, keeps weight 1 but for
 * `constant` weights that say otherwise. Steps are counted from 0.
 */
export type HeadWeightOptions =
  | {
      /** The same weights at every step. */
      readonly kind: 'constant';
      /** One for each head. Default: all 1. */
      readonly weights?: readonly number[];
    }
  | {
      /** Head k weighs beta^(k−1). */
      readonly kind: 'beta';
      /** Weight of a head relative to the one before it. */
      readonly beta: number;
    }
  | {
      /** The weight of heads from 2 on changes once. */
      readonly kind: 'step';
      /** The first step with the new weight. */
      readonly at: number;
      /** Their weight in the steps before. */
      readonly before: number;
      /** Their weight from there on. */
      readonly after: number;
    }
  | {
      /** The weight of heads from 2 on changes linearly, and then stays. */
      readonly kind: 'ramp';
      /** The first step with the last weight. */
      readonly steps: number;
      /** Their weight at step 0. */
      readonly from: number;
      /** Their weight from step `steps` on. */
      readonly to: number;
    };

/**
 * The weights of heads 1 … n at each step.
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
        throw new ForetokenError('INVALID_ARGUMENT', 'head weights: all are 0, so nothing would be trained');
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

/** Which heads learn when. */
export interface CurriculumOptions {
  /** `forward` trains head 1 first and adds one head after another; `reverse` begins with all and ends with head 1. */
  readonly kind: 'forward' | 'reverse';
  /** The steps of the curriculum, in which every number of heads has an equal part. The last number stays. */
  readonly steps: number;
}

/**
 * How many heads, counted from head 1, are trained at each step.
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
