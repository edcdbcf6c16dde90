// Adaptive trees on simulated machines: how close their choices are to the best size.
import { AdaptivePlanner } from '../../lib/decode/adaptive';
import type { TreePlan } from '../../lib/decode/tree-plan';
import { Random } from '../support/random';

/** Microseconds of a step by its number of drafts. */
type StepTime = (size: number) => number;

interface Machine {
  time: StepTime;
  /** Mean of the random delay of a step, relative to its time. */
  noise: number;
  /** Largest relative change of the pace, which changes every 500 steps. */
  drift: number;
}

/** Probability by depth that the first choice is accepted if the depth before was; other choices are always rejected. */
type Acceptance = readonly number[];

const OVERHEAD = 8;
const STEPS = 6000;
/** Extra microseconds of the first step with a tree. */
const FIRST = 400;

/** Counts how often each size is used from step `from` on. */
function run(
  seed: number,
  machine: Machine,
  acceptance: Acceptance,
  { from = 1000, maxNodes = 16 } = {},
): Map<number, number> {
  const random = new Random(seed);
  const planner = new AdaptivePlanner(maxNodes, acceptance.length, 256);
  const uses = new Map<number, number>();
  const prepared = new Set<string>();
  let pace = 1;
  for (let i = 0; i < STEPS; i++) {
    if (i % 500 === 499)
      pace = Math.min(2, Math.max(0.5, pace * (1 + machine.drift * (2 * random.next() - 1))));
    const plan = planner.next();
    const size = plan.parents.length - 1;
    const form = `${plan.parents.join()} ${plan.ranks.join()}`;
    const isFirst = !prepared.has(form);
    prepared.add(form);
    const disturbed = 1 + (random.next() < 0.03 ? 3 : 2 * machine.noise) * random.next();
    const micros = machine.time(size) * pace * disturbed + (isFirst ? FIRST : 0);
    const path = accepted(plan, acceptance, random);
    planner.observe({
      plan,
      path,
      seconds: (micros + OVERHEAD) * 1e-6,
      deviceSeconds: micros * 1e-6,
      isFirst,
    });
    if (i >= from) uses.set(size, (uses.get(size) ?? 0) + 1);
  }
  return uses;
}

function accepted({ parents, ranks, depths }: TreePlan, acceptance: Acceptance, random: Random): number[] {
  const path = [0];
  for (;;) {
    const at = path.at(-1)!;
    if (random.next() >= (acceptance[depths[at]!] ?? 0)) return path;
    const next = parents.findIndex((parent, node) => parent === at && ranks[node] === 0);
    if (next < 0) return path;
    path.push(next);
  }
}

/** Tokens per second of a mixture of sizes, relative to the best size. */
function quality(uses: ReadonlyMap<number, number>, { time }: Machine, acceptance: Acceptance): number {
  const tokens = (size: number): number => {
    let [sum, probability] = [1, 1];
    for (const next of acceptance.slice(0, size)) sum += probability *= next;
    return sum;
  };
  const sizes = [0, 1, 2, 3, 4, 6, 8, 12, 16];
  const best = Math.max(...sizes.map((size) => tokens(size) / (time(size) + OVERHEAD)));
  let [all, micros] = [0, 0];
  for (const [size, count] of uses) {
    all += count * tokens(size);
    micros += count * (time(size) + OVERHEAD);
  }
  return all / micros / best;
}

/** Step times by size, measured with small models of this project. */
const measured = [61, 66, 72, 77, 83, 90, 97, 105, 115, 128, 140, 152, 165, 178, 190, 202, 215];
const time: StepTime = (size) => measured[size]!;
const heads8 = [0.92, 0.8, 0.76, 0.75, 0.62, 0.72, 0.3];
const heads4 = [0.93, 0.85, 0.83];

function qualities(machine: Machine, acceptance: Acceptance): number[] {
  const seeds = Array.from({ length: 40 }, (_, seed) => seed + 1);
  const all = seeds.map((seed) => quality(run(seed, machine, acceptance), machine, acceptance));
  return all.sort((a, b) => a - b);
}

test.each([
  ['8 heads', heads8, 0.1],
  ['8 heads on a noisy machine', heads8, 0.2],
  ['4 heads', heads4, 0.1],
  ['4 heads on a noisy machine', heads4, 0.2],
])(
  '%s: nine of ten runs are within 5 %% of the best size, half of them within 1.5 %%',
  (_, acceptance, noise) => {
    const sorted = qualities({ time, noise, drift: 0.3 }, acceptance);
    expect(sorted[4]).toBeGreaterThan(0.95);
    expect(sorted[20]).toBeGreaterThan(0.985);
  },
);

test('drafts that are rarely accepted are not made', () => {
  const machine = { time, noise: 0.1, drift: 0.3 };
  const uses = run(1, machine, [0.02, 0.02, 0.02]);
  expect(uses.get(0)! / (STEPS - 1000)).toBeGreaterThan(0.95);
  expect(quality(uses, machine, [0.02, 0.02, 0.02])).toBeGreaterThan(0.97);
});

test('if all trees cost the same, the largest is used', () => {
  const machine = { time: () => 60, noise: 0.05, drift: 0.1 };
  const uses = run(2, machine, heads8, { maxNodes: 8 });
  expect(Math.max(...uses.keys())).toBe(8);
  expect(quality(uses, machine, heads8)).toBeGreaterThan(0.97);
});

test('follows a machine on which large trees become expensive', () => {
  let steps = 0;
  const machine = {
    time: (size: number) => 60 + size * (steps++ < STEPS / 2 ? 1 : 40),
    noise: 0.05,
    drift: 0,
  };
  const uses = run(3, machine, heads8, { from: STEPS - 1000 });
  const mean = [...uses].reduce((sum, [size, count]) => sum + size * count, 0) / 1000;
  expect(mean).toBeLessThan(2.5);
  steps = -STEPS;
  const cheap = run(3, machine, heads8, { from: STEPS - 1000 });
  expect(Math.max(...cheap.keys())).toBeGreaterThanOrEqual(6);
  expect([...cheap].reduce((sum, [size, count]) => sum + size * count, 0) / 1000).toBeGreaterThan(5);
});
