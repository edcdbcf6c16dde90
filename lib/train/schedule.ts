import { checkInteger, checkNumber, unknownChoice } from '../check';

/** The learning rate over a training run. Steps are counted from 0. */
export interface LearningRateOptions {
  /**
   * After the warm-up: `cosine` falls along half a cosine to the end; `wsd` (warm-up, stable, decay) stays at the peak
   * and falls linearly over the last `decaySteps`; `constant` stays at the peak.
   */
  readonly schedule: 'cosine' | 'wsd' | 'constant';
  /** The highest learning rate. */
  readonly peak: number;
  /** Steps of the whole run. */
  readonly steps: number;
  /** First steps, over which the rate rises linearly (default 0). */
  readonly warmupSteps?: number;
  /** Last steps, over which `wsd` falls (default: a tenth of `steps`, rounded up). */
  readonly decaySteps?: number;
  /** Final rate of `cosine` and `wsd`, as a fraction of the peak (default 0.1). */
  readonly minimumRatio?: number;
}

/**
 * Returns a function from the step to its learning rate, which is constant after the end of the run.
 * @throws INVALID_ARGUMENT naming the option.
 */
export function learningRateSchedule(options: LearningRateOptions): (step: number) => number {
  const peak = checkNumber('learning rate: peak', options.peak, 0);
  const steps = checkInteger('learning rate: steps', options.steps, 1);
  const warmupSteps = checkInteger('learning rate: warmupSteps', options.warmupSteps ?? 0, 0, steps);
  const minimum = peak * checkNumber('learning rate: minimumRatio', options.minimumRatio ?? 0.1, 0, 1);
  const afterWarmup = shapeAfterWarmup(options, steps, warmupSteps);
  return (step) => {
    if (step < warmupSteps) return (peak * (step + 1)) / (warmupSteps + 1);
    return minimum + (peak - minimum) * afterWarmup(Math.min(step, steps));
  };
}

/** 1 at the peak, 0 at the minimum. */
function shapeAfterWarmup(
  { schedule, decaySteps }: LearningRateOptions,
  steps: number,
  warmupSteps: number,
): (step: number) => number {
  switch (schedule) {
    case 'constant':
      return () => 1;
    case 'cosine': {
      const length = Math.max(1, steps - warmupSteps);
      return (step) => (1 + Math.cos((Math.PI * (step - warmupSteps)) / length)) / 2;
    }
    case 'wsd': {
      const tenth = Math.min(Math.ceil(steps / 10), steps - warmupSteps);
      const length = checkInteger('learning rate: decaySteps', decaySteps ?? tenth, 0, steps - warmupSteps);
      return (step) => (length === 0 ? 1 : Math.min(1, (steps - step) / length));
    }
    default:
      throw unknownChoice('learning rate: schedule', schedule, ['cosine', 'wsd', 'constant']);
  }
}
