// Random programs of tensors, captures and replays in any order, with so little memory, or a failing call, that any step may
// throw. A plain model says to the bit what every tensor must hold.
import fc from 'fast-check';
import { ForetokenError } from '../../lib/errors';
import { native } from '../../lib/native/load';
import { capture, type Capture } from '../../lib/tensor/capture';
import type { Device } from '../../lib/tensor/device';
import { add, scale } from '../../lib/tensor/ops/layers/elementwise';
import { linear } from '../../lib/tensor/ops/linear/linear';
import type { Tensor } from '../../lib/tensor/tensor';
import { expectSameBits } from './accuracy';

/** Lengths of tensors, so different that blocks of one size cannot serve all of them. */
const LENGTHS = [64, 1000, 3000];

/** The side of a square weight of small integers, whose products are exact. */
const SIDE = 8;

/** A number that picks a tensor, a capture or contents, modulo their number. */
const pick = fc.nat(1000);

const operation = fc.oneof(
  fc.record({ op: fc.constant('upload' as const), length: pick, seed: pick }),
  fc.record({ op: fc.constant('add' as const), x: pick, y: pick }),
  fc.record({ op: fc.constant('scale' as const), x: pick, factor: fc.constantFrom(-1, 0.5, 3) }),
  fc.record({ op: fc.constant('linear' as const), x: pick, seed: pick }),
  fc.record({ op: fc.constant('copy' as const), x: pick, y: pick }),
  fc.record({ op: fc.constant('write' as const), x: pick, seed: pick }),
  fc.record({ op: fc.constant('fill' as const), x: pick, value: fc.integer({ min: -9, max: 9 }) }),
  fc.record({ op: fc.constant('trim' as const) }),
  fc.record({ op: fc.constant('tooMuch' as const) }),
);

const step = fc.oneof(
  { weight: 6, arbitrary: operation },
  fc.record({ op: fc.constant('read' as const), x: pick }),
  fc.record({ op: fc.constant('dispose' as const), x: pick }),
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('capture' as const),
      body: fc.array(operation, { minLength: 1, maxLength: 8 }),
      results: fc.nat(2),
      sharesWith: fc.option(pick),
      /** Whether the captured function goes on after a step that throws. */
      catches: fc.boolean(),
      /** A capture that is disposed while this one is made. */
      disposes: fc.option(pick),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('replay' as const), capture: pick }) },
  fc.record({ op: fc.constant('disposeCapture' as const), capture: pick }),
);

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Programs of at most this many steps. */
export const programs = (steps: number): fc.Arbitrary<Step[]> =>
  fc.array(step, { minLength: 5, maxLength: steps, size: 'max' });

/** A tensor and the values that it must hold; null if they are not known. */
class Cell {
  values: Float32Array | null = null;
  #lost = false;

  constructor(readonly tensor: Tensor) {}

  /** From now on other operations may use the memory. */
  lose(): void {
    this.#lost = true;
  }

  get known(): Float32Array | null {
    return this.#lost ? null : this.values;
  }
}

/** Applies an operation to the contents of cells in the model. */
type Effect = () => void;

interface Captured {
  capture: Capture<Record<string, Tensor>>;
  results: Cell[];
  effects: Effect[];
  /** Captures of the same number share memory. */
  group: number;
}

const contents = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => ((i * 7 + seed * 13) % 19) - 9);

class Run {
  readonly #device: Device;
  #cells: Cell[] = [];
  #captures: Captured[] = [];
  #groups = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  /** Runs one step. If it throws, the model is unchanged. */
  async take(step: Step): Promise<void> {
    if (step.op === 'read') await this.#read(at(this.#cells, step.x));
    else if (step.op === 'dispose') this.#dispose(step.x);
    else if (step.op === 'capture') this.#capture(step);
    else if (step.op === 'replay') this.#replay(at(this.#captures, step.capture));
    else if (step.op === 'disposeCapture') this.#disposeCapture(at(this.#captures, step.capture));
    else this.#operate(step, this.#cells)?.();
  }

  /** Reads everything, frees everything. */
  async end(): Promise<void> {
    for (const cell of this.#cells) await this.#read(cell);
    while (this.#captures.length > 0) this.#disposeCapture(this.#captures[0]);
    for (const { tensor } of this.#cells) tensor.dispose();
  }

  /** Enqueues an operation on some of these cells, and may append a new cell. Returns its effect on the model. */
  #operate(step: Operation, cells: Cell[]): Effect | undefined {
    const fresh = (tensor: Tensor, compute: () => Float32Array | null): Effect => {
      const cell = new Cell(tensor);
      cells.push(cell);
      return () => (cell.values = compute());
    };
    if (step.op === 'upload') {
      const data = contents(at(LENGTHS, step.length)!, step.seed);
      return fresh(this.#device.tensor(data), () => data);
    }
    if (step.op === 'trim') {
      this.#device.trim();
      return undefined;
    }
    if (step.op === 'tooMuch') {
      this.#device.empty([2 ** 40]).dispose();
      return undefined;
    }
    const x = at(cells, step.x);
    if (!x) return undefined;
    switch (step.op) {
      case 'add': {
        const y = at(alike(cells, x), step.y)!;
        return fresh(add(x.tensor, y.tensor), () => zip(x.known, y.known));
      }
      case 'scale':
        return fresh(scale(x.tensor, step.factor), () => {
          return x.known?.map((value) => Math.fround(value * step.factor)) ?? null;
        });
      case 'linear': {
        // Small integers, so that the order of the sums does not matter.
        const [rows, weight] = [contents(SIDE * SIDE, step.seed), contents(SIDE * SIDE, step.seed + 1)];
        using left = this.#device.tensor(rows, [SIDE, SIDE]);
        using right = this.#device.tensor(weight, [SIDE, SIDE]);
        using square = linear(left, right);
        return fresh(square.view(0, [SIDE * SIDE]), () => multiply(rows, weight));
      }
      case 'copy': {
        const y = at(alike(cells, x), step.y)!;
        return this.#change(
          x,
          () => x.tensor.copyFrom(y.tensor),
          () => y.known?.slice() ?? null,
        );
      }
      case 'write': {
        const data = contents(x.tensor.size, step.seed);
        return this.#change(
          x,
          () => x.tensor.write(data),
          () => data,
        );
      }
      case 'fill': {
        const { size } = x.tensor;
        return this.#change(
          x,
          () => x.tensor.fill(step.value),
          () => new Float32Array(size).fill(step.value),
        );
      }
    }
  }

  /** Changes a cell in place. If a call of the device fails halfway, the change may or may not have happened. */
  #change(cell: Cell, change: () => void, compute: () => Float32Array | null): Effect {
    try {
      change();
    } catch (error) {
      if ((error as ForetokenError).code === 'INTERNAL') cell.values = null;
      throw error;
    }
    return () => (cell.values = compute());
  }

  async #read(cell: Cell | undefined): Promise<void> {
    if (!cell) return;
    const expected = cell.known;
    const found = (await cell.tensor.data()) as Float32Array;
    if (expected) expectSameBits(found, expected);
  }

  #dispose(x: number): void {
    const cell = at(this.#cells, x);
    if (!cell || this.#captures.some(({ results }) => results.includes(cell))) return;
    cell.tensor.dispose();
    this.#cells = this.#cells.filter((other) => other !== cell);
  }

  #capture({ body, results, sharesWith, catches, disposes }: Extract<Step, { op: 'capture' }>): void {
    const other = sharesWith === null ? undefined : at(this.#captures, sharesWith);
    const effects: Effect[] = [];
    const cells = [...this.#cells];
    const outside = cells.length;
    let failed: unknown;
    const made: Captured['capture'] = capture(
      this.#device,
      () => {
        for (const step of body) {
          try {
            const effect = this.#operate(step, cells);
            if (effect) effects.push(effect);
          } catch (error) {
            failed = error;
            if (!catches) throw error;
          }
        }
        if (disposes !== null) {
          const gone = at(this.#captures, disposes);
          if (gone !== other) this.#disposeCapture(gone);
        }
        return Object.fromEntries(
          cells
            .slice(outside)
            .slice(0, results)
            .map(({ tensor }, i) => [String(i), tensor]),
        );
      },
      { sharesMemoryWith: other?.capture },
    );
    // If a call of the device failed inside, capture must throw.
    expect((failed as ForetokenError | undefined)?.code).not.toBe('INTERNAL');
    const kept = cells.slice(outside).slice(0, results);
    const captured = { capture: made, results: kept, effects, group: other?.group ?? this.#groups++ };
    this.#captures.push(captured);
    try {
      this.#replay(captured); // fills the results before they may be read
    } catch (error) {
      this.#disposeCapture(captured);
      throw error;
    }
    this.#cells.push(...kept);
  }

  #replay(captured: Captured | undefined): void {
    if (!captured) return;
    captured.capture.replay();
    // Later captures may keep their results in memory that this one uses for intermediate values.
    const later = this.#captures.slice(this.#captures.indexOf(captured) + 1);
    for (const { group, results } of later) {
      if (group === captured.group) for (const cell of results) cell.values = null;
    }
    for (const effect of captured.effects) effect();
  }

  #disposeCapture(captured: Captured | undefined): void {
    if (!captured) return;
    captured.capture.dispose();
    this.#captures = this.#captures.filter((other) => other !== captured);
    this.#cells = this.#cells.filter((cell) => !captured.results.includes(cell));
    // Captures that share the memory may overwrite the results.
    for (const cell of captured.results) cell.lose();
  }
}

function at<T>(list: readonly T[], index: number): T | undefined {
  return list[index % Math.max(list.length, 1)];
}

function alike(cells: readonly Cell[], { tensor }: Cell): Cell[] {
  return cells.filter((other) => other.tensor.size === tensor.size);
}

function zip(x: Float32Array | null, y: Float32Array | null): Float32Array | null {
  return x && y && x.map((value, i) => Math.fround(value + y[i]!));
}

function multiply(x: Float32Array, weight: Float32Array): Float32Array {
  return Float32Array.from({ length: SIDE * SIDE }, (_, at) => {
    const [row, column] = [Math.floor(at / SIDE), at % SIDE];
    let sum = 0;
    for (let k = 0; k < SIDE; k++) sum += x[row * SIDE + k]! * weight[column * SIDE + k]!;
    return sum;
  });
}

async function works(device: Device): Promise<void> {
  using x = device.tensor(Float32Array.of(1, 2));
  using doubled = capture(device, () => ({ y: add(x, x) }));
  doubled.replay();
  expect(await doubled.result.y.data()).toEqual(Float32Array.of(2, 4));
}

/**
 * Runs a program. Steps may throw: OUT_OF_MEMORY, or INTERNAL if a call of the device is made to fail. In all cases every tensor
 * must hold its values, no memory may be left behind, and the device must stay usable.
 * @returns the errors that were thrown
 */
export async function runProgram(device: Device, steps: readonly Step[]): Promise<ForetokenError[]> {
  const tensors = native.liveTensors();
  const run = new Run(device);
  const errors: ForetokenError[] = [];
  const attempt = async (fn: () => Promise<void>): Promise<boolean> => {
    try {
      await fn();
      return true;
    } catch (error) {
      if (!(error instanceof ForetokenError)) throw error;
      errors.push(error);
      return false;
    }
  };
  for (const one of steps) await attempt(() => run.take(one));
  // Only one call is made to fail, and it may be in these, so they are tried twice.
  for (const last of [() => run.end(), () => works(device)]) if (!(await attempt(last))) await last();
  expect(device.memory().live).toBe(0);
  expect(native.liveTensors()).toBe(tensors);
  device.trim();
  expect(device.memory().reserved).toBe(0);
  return errors;
}
