import fc from 'fast-check';
import { learningRateSchedule, type LearningRateOptions } from '../../lib/train/schedule';
import { foretokenError } from '../support/errors';

const rates = (options: LearningRateOptions) =>
  Array.from({ length: options.steps + 1 }, (_, step) => learningRateSchedule(options)(step));

const anyOptions = fc
  .record({
    schedule: fc.constantFrom('cosine' as const, 'wsd' as const, 'constant' as const),
    peak: fc.double({ min: 1e-6, max: 1, noNaN: true }),
    minimumRatio: fc.double({ min: 0, max: 1, noNaN: true }),
    warmupSteps: fc.nat(50),
    others: fc.integer({ min: 1, max: 100 }),
  })
  .map(({ others, ...options }) => ({ ...options, steps: options.warmupSteps + others }));

describe('the learning rate', () => {
  it('rises linearly from above 0 to the peak', () => {
    const options: LearningRateOptions = { schedule: 'constant', peak: 1, steps: 6, warmupSteps: 3 };
    expect(rates(options)).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 1]);
  });

  it('falls along a cosine to the minimum', () => {
    const [start, middle, end] = [0, 4, 8].map(
      (i) => rates({ schedule: 'cosine', peak: 2, steps: 10, warmupSteps: 2, minimumRatio: 0.5 }).slice(2)[i],
    );
    expect(start).toBe(2);
    expect(middle).toBeCloseTo(1.5, 12);
    expect(end).toBe(1);
    const quarter = learningRateSchedule({ schedule: 'cosine', peak: 1, steps: 4, minimumRatio: 0 })(1);
    expect(quarter).toBeCloseTo((1 + Math.SQRT1_2) / 2, 12);
  });

  it('stays at the peak, then falls linearly over the last steps', () => {
    const options: LearningRateOptions = {
      schedule: 'wsd',
      peak: 1,
      steps: 8,
      warmupSteps: 1,
      decaySteps: 4,
      minimumRatio: 0,
    };
    expect(rates(options)).toEqual([0.5, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]);
  });

  it('falls over a tenth of the steps to a tenth of the peak by default', () => {
    const wsd = rates({ schedule: 'wsd', peak: 1, steps: 20 });
    expect(wsd[18]).toBe(1);
    expect(wsd[19]).toBeCloseTo(0.55, 12);
    expect(wsd[20]).toBe(0.1);
  });

  it('never leaves the range from the minimum to the peak, and never grows after the warm-up', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        const all = rates(options);
        const after = all.slice(options.warmupSteps);
        const epsilon = options.peak * 1e-12;
        expect(Math.max(...all)).toBeLessThanOrEqual(options.peak + epsilon);
        expect(Math.min(...all)).toBeGreaterThan(-epsilon);
        expect(Math.min(...after)).toBeGreaterThanOrEqual(options.peak * options.minimumRatio - epsilon);
        after.slice(1).forEach((rate, i) => expect(rate).toBeLessThanOrEqual(after[i]! + epsilon));
        expect(after[0]).toBeCloseTo(options.peak, 12);
      }),
    );
  });

  it('stays constant after the end of the run', () => {
    for (const schedule of ['cosine', 'wsd'] as const) {
      const rate = learningRateSchedule({ schedule, peak: 1, steps: 10, minimumRatio: 0.25 });
      expect([rate(10), rate(11), rate(1000)]).toEqual([0.25, 0.25, 0.25]);
    }
  });

  it('is valid for a run that is all warm-up, or one step long', () => {
    for (const schedule of ['cosine', 'wsd', 'constant'] as const) {
      const all = rates({ schedule, peak: 1, steps: 2, warmupSteps: 2 });
      expect(all.slice(0, 2)).toEqual([1 / 3, 2 / 3]);
      expect(learningRateSchedule({ schedule, peak: 1, steps: 1 })(0)).toBe(1);
    }
  });

  it.each<[Partial<LearningRateOptions>, string]>([
    [{ peak: -1 }, 'learning rate: peak must be a number of at least 0, but is -1'],
    [{ peak: NaN }, 'peak'],
    [{ steps: 0 }, 'steps must be an integer of at least 1, but is 0'],
    [{ steps: 1.5 }, 'steps'],
    [{ warmupSteps: 11 }, 'warmupSteps must be an integer from 0 to 10, but is 11'],
    [
      { schedule: 'wsd', warmupSteps: 5, decaySteps: 6 },
      'decaySteps must be an integer from 0 to 5, but is 6',
    ],
    [{ minimumRatio: 1.1 }, 'minimumRatio must be a number from 0 to 1, but is 1.1'],
    [{ schedule: 'linear' as 'wsd' }, 'schedule must be one of cosine, wsd, constant, but is "linear"'],
  ])('refuses %j', (options, problem) => {
    const whole: LearningRateOptions = { schedule: 'cosine', peak: 1, steps: 10, ...options };
    expect(() => learningRateSchedule(whole)).toThrow(foretokenError('INVALID_ARGUMENT', problem));
  });
});
