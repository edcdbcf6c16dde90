import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { noGrad } from '../lib/tensor/autograd';
import { linearCrossEntropy as loss } from '../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../lib/tensor/scope';
import type { Tensor } from '../lib/tensor/tensor';
import {
  bare,
  ceilings,
  duration,
  indices,
  median,
  productRate,
  randomTensor,
  sizeFor,
  type Bench,
  type Result,
  type Setup,
} from './harness';
import { LineProcess } from './line-process';

const MODES = ['loss', 'loss-and-grad'] as const;
const ROUNDS = 5;

/** One run: its time, and its peak memory beyond inputs and their gradients. */
interface Run {
  seconds: number;
  bytes: number;
}

/**
 * Compares the loss of four heads with the implementations that PyTorch users would use, alternating between them. The host's
 * Python runs the others, if it has PyTorch; each head has its own hidden states there, as in training.
 */
export const lossAgainstPeers: Bench = {
  name: 'loss-against-peers',
  async run(setup, report) {
    const shape = sizeFor(setup, {
      cpu: { n: 4, T: 2048, d: 512, V: 32000 },
      gpu: { n: 4, T: 8192, d: 4096, V: 128256 },
      emulated: { n: 2, T: 8, d: 16, V: 96 },
    });
    using ours = new Ours(setup, shape);
    await using peers = await Peers.start(setup, shape);
    if (!peers) return;
    await peers.tellClocks();
    for (const mode of MODES) {
      const names = ['foretoken', ...peers.ways];
      const runs = new Map(names.map((name): [string, Run[]] => [name, []]));
      // The first round is not measured.
      for (let round = 0; round <= ROUNDS; round++) {
        for (const name of runs.keys()) {
          const run = name === 'foretoken' ? await ours.run(mode) : await peers.run(name, mode);
          if (!run) runs.delete(name);
          else if (round > 0) runs.get(name)!.push(run);
        }
      }
      const products = (mode === 'loss' ? 1 : 3) * 2 * shape.n * shape.T * shape.d * shape.V;
      const floor = products / productRate(await ceilings(setup.device), setup.dtype);
      const params = { mode, ...shape, dtype: setup.dtype };
      for (const [name, own] of runs) {
        resultsOf(name, params, own, runs.get('foretoken')!, floor).forEach(report);
      }
    }
    await peers.tellClocks();
  },
};

function resultsOf(
  name: string,
  params: Result['params'],
  runs: readonly Run[],
  ours: readonly Run[],
  floor: number,
): Result[] {
  const result = (what: string, unit: string, samples: number[]): Result =>
    bare(`loss-against-peers/${what}`, params, unit, samples);
  const [seconds, bytes] = [runs.map((run) => run.seconds), runs.map((run) => run.bytes)];
  const time = [duration(`loss-against-peers/${name}`, params, seconds, floor)];
  if (name !== 'foretoken') {
    const ratios = seconds.map((theirs, i) => ours[i]!.seconds / theirs);
    time.push(result(`time-against-${name}`, '×', ratios));
  }
  // A process that reuses freed memory may show no growth; that is no measurement.
  if (median(bytes) === 0) return time;
  const memory = [result(`${name}-memory`, 'byte', bytes)];
  if (name !== 'foretoken') {
    memory.push(
      result(`memory-against-${name}`, '×', [median(ours.map((run) => run.bytes)) / median(bytes)]),
    );
  }
  return [...time, ...memory];
}

interface Shape {
  n: number;
  T: number;
  d: number;
  V: number;
}

class Ours implements Disposable {
  readonly #hidden: Tensor;
  readonly #weight: Tensor;
  readonly #targets: Tensor;

  constructor(
    readonly setup: Setup,
    readonly shape: Shape,
  ) {
    const { n, T, d, V } = shape;
    this.#hidden = randomTensor(setup, [n * T, d]).requireGrad();
    this.#weight = randomTensor(setup, [V, d], 0.05, 2).requireGrad();
    this.#targets = setup.device.tensor(indices(n * T, V));
  }

  async run(mode: (typeof MODES)[number]): Promise<Run> {
    const { device } = this.setup;
    // This call computes the gradients; backward would only pass them on.
    const call = (): void =>
      scope(() => void loss(this.#hidden, this.#weight, this.#targets, { heads: this.shape.n }));
    await device.synchronize();
    device.resetPeak();
    const { live } = device.memory();
    const start = performance.now();
    if (mode === 'loss') noGrad(call);
    else call();
    await device.synchronize();
    const seconds = (performance.now() - start) / 1000;
    const gradients = mode === 'loss' ? 0 : 4 * (this.#hidden.size + this.#weight.size);
    return { seconds, bytes: device.memory().peak - live - gradients };
  }

  [Symbol.dispose](): void {
    for (const tensor of [this.#hidden, this.#weight, this.#targets]) tensor.dispose();
  }
}

/** The Python program in peers/. */
class Peers implements AsyncDisposable {
  private constructor(
    readonly program: LineProcess,
    readonly ways: readonly string[],
  ) {}

  /** Starts the program. Without a Python that has PyTorch, prints the reason and returns null. */
  static async start({ device, dtype, python }: Setup, shape: Shape): Promise<Peers | null> {
    const where = device.name.startsWith('cuda:') ? 'cuda' : 'cpu';
    const options = { device: where, dtype, threads: availableParallelism(), ...shape };
    const program = new LineProcess(python, [join(__dirname, 'peers/loss.py'), JSON.stringify(options)]);
    const first = await program.answer();
    if (!first) {
      console.log(`loss-against-peers: no peers, because of ${python}: ${program.complaint}`);
      return null;
    }
    const missing = Object.entries(first.missing as Record<string, string>);
    console.log(
      `PyTorch ${String(first.torch)}; not available: ${missing.map((pair) => pair.join(', ')).join('; ')}`,
    );
    return new Peers(program, first.ways as string[]);
  }

  async run(way: string, mode: string): Promise<Run | null> {
    const answer = await this.program.ask({ way, mode });
    if (!('error' in answer)) return answer as unknown as Run;
    console.log(`loss-against-peers: ${way}, ${mode}: ${String(answer.error)}`);
    return null;
  }

  async tellClocks(): Promise<void> {
    const { clocks } = await this.program.ask({ clocks: true });
    if (typeof clocks === 'string') console.log(`GPU: ${clocks}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}
