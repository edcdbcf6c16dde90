import {
  headCurriculum,
  headWeightSchedule,
  type CurriculumOptions,
  type HeadWeightOptions,
} from '../../lib/train/head-schedule';
import { foretokenError } from '../support/errors';

const at = (steps: number[], schedule: (step: number) => unknown) => steps.map((step) => schedule(step));

describe('head weights', () => {
  it('are 1 by default, or as given', () => {
    expect(headWeightSchedule(3, { kind: 'constant' })(7)).toEqual([1, 1, 1]);
    expect(headWeightSchedule(2, { kind: 'constant', weights: [0, 0.5] })(7)).toEqual([0, 0.5]);
  });

  it('are not changed through a returned array', () => {
    const schedule = headWeightSchedule(2, { kind: 'constant' });
    schedule(0)[0] = 9;
    expect(schedule(0)).toEqual([1, 1]);
  });

  it('are powers of beta', () => {
    expect(headWeightSchedule(4, { kind: 'beta', beta: 0.5 })(3)).toEqual([1, 0.5, 0.25, 0.125]);
    expect(headWeightSchedule(3, { kind: 'beta', beta: 0 })(3)).toEqual([1, 0, 0]);
  });

  it('change once for all heads except the first', () => {
    const schedule = headWeightSchedule(3, { kind: 'step', at: 5, before: 0.3, after: 0.1 });
    expect(at([0, 4, 5, 99], schedule)).toEqual([
      [1, 0.3, 0.3],
      [1, 0.3, 0.3],
      [1, 0.1, 0.1],
      [1, 0.1, 0.1],
    ]);
  });

  it('follow a ramp for all heads except the first', () => {
    const up = headWeightSchedule(2, { kind: 'ramp', steps: 4, from: 0, to: 1 });
    expect(at([0, 1, 2, 4, 9], up)).toEqual([
      [1, 0],
      [1, 0.25],
      [1, 0.5],
      [1, 1],
      [1, 1],
    ]);
    expect(headWeightSchedule(2, { kind: 'ramp', steps: 4, from: 1, to: 0.5 })(2)).toEqual([1, 0.75]);
  });

  it('of a single head are 1', () => {
    const kinds: HeadWeightOptions[] = [
      { kind: 'constant' },
      { kind: 'beta', beta: 0.5 },
      { kind: 'step', at: 1, before: 0, after: 0 },
      { kind: 'ramp', steps: 1, from: 0, to: 0 },
    ];
    for (const options of kinds) expect(headWeightSchedule(1, options)(3)).toEqual([1]);
  });

  it.each<[number, HeadWeightOptions, string]>([
    [0, { kind: 'constant' }, 'head weights: heads must be an integer of at least 1, but is 0'],
    [2, { kind: 'constant', weights: [1] }, 'there are 2 heads, but 1 weights'],
    [2, { kind: 'constant', weights: [1, -1] }, 'weight of head 2'],
    [2, { kind: 'beta', beta: NaN }, 'beta'],
    [2, { kind: 'step', at: -1, before: 1, after: 1 }, 'at must'],
    [2, { kind: 'step', at: 1, before: -1, after: 1 }, 'before'],
    [2, { kind: 'step', at: 1, before: 1, after: Infinity }, 'after'],
    [2, { kind: 'ramp', steps: 0, from: 1, to: 1 }, 'steps'],
    [2, { kind: 'ramp', steps: 1, from: -1, to: 1 }, 'from'],
    [2, { kind: 'ramp', steps: 1, from: 1, to: -1 }, 'to must'],
    [
      2,
      { kind: 'cosine' } as unknown as HeadWeightOptions,
      'kind must be one of constant, beta, step, ramp, but is "cosine"',
    ],
  ])('of %d heads refuse %j', (heads, options, problem) => {
    expect(() => headWeightSchedule(heads, options)).toThrow(foretokenError('INVALID_ARGUMENT', problem));
  });
});

describe('the curriculum', () => {
  const steps = Array.from({ length: 14 }, (_, step) => step);

  it('forward adds one head after another, each stage equally long', () => {
    const active = at(steps, headCurriculum(4, { kind: 'forward', steps: 12 }));
    expect(active).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4]);
  });

  it('reverse removes one head after another', () => {
    const active = at(steps, headCurriculum(4, { kind: 'reverse', steps: 12 }));
    expect(active).toEqual([4, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1]);
  });

  it('has every stage with hardly more steps than heads', () => {
    expect(at([0, 1, 2, 3, 4], headCurriculum(3, { kind: 'forward', steps: 4 }))).toEqual([1, 1, 2, 3, 3]);
  });

  it.each<[number, CurriculumOptions, string]>([
    [0, { kind: 'forward', steps: 1 }, 'curriculum: heads'],
    [2, { kind: 'forward', steps: 0 }, 'curriculum: steps'],
    [
      2,
      { kind: 'sideways' as 'forward', steps: 1 },
      'kind must be one of forward, reverse, but is "sideways"',
    ],
  ])('of %d heads refuses %j', (heads, options, problem) => {
    expect(() => headCurriculum(heads, options)).toThrow(foretokenError('INVALID_ARGUMENT', problem));
  });
});
