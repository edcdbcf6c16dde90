// Numbers of drafts on simulated machines: how close the choices are to the best number that never changes.
import { bestFirst, type Candidates } from '../../lib/decode/best-first';
import { DraftBudget } from '../../lib/decode/draft-budget';
import { Random } from '../support/random';

interface Machine {
  /** Microseconds of a step by its rows. */
  time: (rows: number) => number;
  /** Microseconds of drafting. */
  drafting?: number;
  /** Mean of the random delay of a step, relative to its time. */
  noise: number;
  /** Largest relative change of the pace, which changes every 500 steps. */
  drift: number;
}

/** Probability by depth that the only draft is accepted if the draft above is. */
type Acceptance = readonly number[];

const SIZES = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 64];
const OVERHEAD = 8;
const STEPS = 6000;
/** Extra microseconds of the first step with a number of rows. */
const FIRST = 400;

/** Drafts of a head at every depth; `acceptance` are the probabilities that they are accepted. */
function chainOf(acceptance: Acceptance): Candidates {
  const depth = acceptance.length;
  const rates = [...acceptance];
  const drafts = { depth, width: 1, tokens: rates.map(() => 0), weights: rates.map(() => 0) };
  return bestFirst(0, { drafts, onPath: rates, offPath: rates }, null, { most: depth, deepest: depth });
}

const NONE = bestFirst(0, null, null, { most: 16, deepest: 16 });

interface Run {
  tokens: number;
  micros: number;
  /** Steps by their number of rows, and steps in which heads drafted. */
  rows: Map<number, number>;
  drafted: number;
}

/** Decodes `count` sequences; what steps before `from` do is not counted. */
function run(
  seed: number,
  machine: Machine,
  accept: Acceptance | ((step: number) => Acceptance),
  count = 1,
  from = 1000,
): Run {
  const random = new Random(seed);
  const budget = new DraftBudget(SIZES.filter((rows) => rows <= 17 * count));
  const all: Run = { tokens: 0, micros: 0, rows: new Map(), drafted: 0 };
  const prepared = new Set<number>();
  let pace = 1;
  let hasDrafts = true;
  for (let i = 0; i < STEPS; i++) {
    if (i % 500 === 499)
      pace = Math.min(2, Math.max(0.5, pace * (1 + machine.drift * (2 * random.next() - 1))));
    const acceptance = typeof accept === 'function' ? accept(i) : accept;
    const chain = hasDrafts ? chainOf(acceptance) : NONE;
    const choice = budget.choose(new Array<Candidates>(count).fill(chain));
    const { rows, drafts } = choice;
    const isFirst = !prepared.has(rows);
    prepared.add(rows);
    const tokens = drafts.reduce((sum, most) => sum + 1 + accepted(acceptance, most, random), 0);
    const disturbed = 1 + (random.next() < 0.03 ? 3 : 2 * machine.noise) * random.next();
    const micros = machine.time(rows) * pace * disturbed + (isFirst ? FIRST : 0);
    hasDrafts = budget.wantsDrafts;
    const drafting = hasDrafts ? (machine.drafting ?? 0) * pace : 0;
    const total = micros + drafting + OVERHEAD;
    const draftSeconds = hasDrafts ? drafting * 1e-6 : null;
    budget.observe({ choice, seconds: total * 1e-6, deviceSeconds: micros * 1e-6, draftSeconds, isFirst });
    if (i < from) continue;
    all.tokens += tokens;
    // The pace is left out, so that runs can be compared.
    all.micros += machine.time(rows) + (hasDrafts ? (machine.drafting ?? 0) : 0) + OVERHEAD;
    all.rows.set(rows, (all.rows.get(rows) ?? 0) + 1);
    if (hasDrafts) all.drafted++;
  }
  return all;
}

function accepted(acceptance: Acceptance, most: number, random: Random): number {
  let count = 0;
  while (count < most && random.next() < acceptance[count]!) count++;
  return count;
}

/** Tokens per microsecond with the best number of rows that never changes. */
function bestSpeed({ time, drafting = 0 }: Machine, acceptance: Acceptance, count = 1): number {
  const speeds = SIZES.filter((rows) => rows >= count).map((rows) => {
    const most = Math.min((rows - count) / count, acceptance.length);
    let [tokens, probability] = [1, 1];
    for (let depth = 0; depth < most; depth++)
      tokens += (probability *= acceptance[depth]!) * Math.min(1, most - depth);
    return (count * tokens) / (time(rows) + (rows > count ? drafting : 0) + OVERHEAD);
  });
  return Math.max(...speeds);
}

/** Step times by rows, measured with small models of this project. */
const measured = [61, 66, 72, 77, 83, 90, 97, 105, 115, 128, 140, 152, 165, 178, 190, 202, 215];
const time = (rows: number): number => measured[rows - 1] ?? 215 + 12.5 * (rows - 17);
const heads8 = [0.92, 0.8, 0.76, 0.75, 0.62, 0.72, 0.3];
const heads4 = [0.93, 0.85, 0.83];

/** Speeds of 16 runs relative to the best, the slowest first. */
function qualities(machine: Machine, acceptance: Acceptance, count = 1): number[] {
  const seeds = Array.from({ length: 16 }, (_, seed) => seed + 1);
  const best = bestSpeed(machine, acceptance, count);
  return seeds
    .map((seed) => {
      const { tokens, micros } = run(seed, machine, acceptance, count);
      return tokens / micros / best;
    })
    .sort((a, b) => a - b);
}

test('measures every size three times first, without the first step of each', () => {
  const budget = new DraftBudget([1, 2, 3]);
  const rows: number[] = [];
  const times = { seconds: 2, deviceSeconds: 1, draftSeconds: null };
  for (let i = 0; i < 12; i++) {
    const choice = budget.choose([chainOf([0.5, 0.5])]);
    const isFirst = !rows.includes(choice.rows);
    rows.push(choice.rows);
    expect(choice.drafts).toEqual([choice.rows - 1]);
    budget.observe({ choice, ...times, isFirst });
  }
  expect(rows).toEqual([1, 1, 2, 2, 3, 3, 1, 2, 3, 1, 2, 3]);
});

test.each([
  ['8 heads', heads8, 0.1, 1],
  ['8 heads on a noisy machine', heads8, 0.2, 1],
  ['4 heads', heads4, 0.1, 1],
  ['4 heads on a noisy machine', heads4, 0.2, 1],
  ['4 texts with 4 heads', heads4, 0.1, 4],
])(
  '%s: seven of eight runs are within 5 %% of the best, half of them within 2 %%',
  (_, acceptance, noise, count) => {
    const sorted = qualities({ time, noise, drift: 0.3 }, acceptance, count);
    expect(sorted[2]).toBeGreaterThan(0.95);
    expect(sorted[8]).toBeGreaterThan(0.98);
  },
);

test.each([0.02, 0.001])(
  'if drafts are accepted with probability %p, steps have none, and heads stop to draft',
  (rate) => {
    const machine = { time, drafting: 20, noise: 0.1, drift: 0.3 };
    const acceptance = [rate, rate, rate];
    const { rows, drafted, tokens, micros } = run(1, machine, acceptance);
    expect(rows.get(1)! / (STEPS - 1000)).toBeGreaterThan(0.95);
    expect(drafted / (STEPS - 1000)).toBeLessThan(0.05);
    expect(tokens / micros / bestSpeed(machine, acceptance)).toBeGreaterThan(0.98);
  },
);

test('heads draft again once it pays', () => {
  const machine = { time, drafting: 20, noise: 0.1, drift: 0.1 };
  const accept = (step: number): Acceptance => (step < 3000 ? [0.02, 0.02, 0.02] : heads4);
  const { drafted, tokens, micros } = run(2, machine, accept, 1, 5000);
  expect(drafted).toBe(STEPS - 5000);
  expect(tokens / micros / bestSpeed(machine, heads4)).toBeGreaterThan(0.95);
});

test('if all steps cost the same, as many drafts as possible are verified', () => {
  const machine = { time: () => 60, noise: 0.05, drift: 0.1 };
  const { tokens, micros } = run(2, machine, heads8);
  expect(tokens / micros / bestSpeed(machine, heads8)).toBeGreaterThan(0.97);
});

test('follows a machine on which large steps become expensive', () => {
  let steps = 0;
  const mean = ({ rows }: Run): number =>
    [...rows].reduce((sum, [size, uses]) => sum + size * uses, 0) / 1000;
  const machine = {
    time: (rows: number) => 60 + (rows - 1) * (steps++ < STEPS / 2 ? 1 : 40),
    noise: 0.05,
    drift: 0,
  };
  expect(mean(run(3, machine, heads8, 1, STEPS - 1000))).toBeLessThan(3.5);
  steps = -10 * STEPS;
  expect(mean(run(3, machine, heads8, 1, STEPS - 1000))).toBeGreaterThan(6);
});
