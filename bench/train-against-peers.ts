import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveModel } from '../lib/model/checkpoint';
import { backwardHeadByHead, uploadBatch, type TrainingBatch } from '../lib/train/loss';
import type { MtpModel } from '../lib/model/model';
import { byteTokenizerFiles, createTokenizer } from '../lib/model/tokenizer';
import { scope } from '../lib/tensor/scope';
import { AdamW } from '../lib/train/optimizer';
import {
  bare,
  duration,
  median,
  productRate,
  ceilings,
  type Bench,
  type Result,
  type Setup,
} from './harness';
import { fastestThreads, LineProcess } from './line-process';
import { forwardFlops, randomModel } from './models';

const [BATCH, LENGTH] = [8, 256];
const LAYERS = 6;
const ROUNDS = 12;
const OPTIMIZER = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
/** The largest relative difference of a peer's loss, whose sums have another order. */
const TOLERANCE = 1e-3;

/** The result of one step. */
interface Step {
  /** The sum of the heads' mean losses, before the step. */
  loss: number;
  seconds: number;
}

/** Trains a model, one step for each batch. */
interface Learner {
  name: string;
  step: (batch: TrainingBatch) => Promise<Step>;
}

/**
 * Compares training of the same model from the same weights on the same text by foretoken, PyTorch and MLX, one step of each in
 * rotation; each peer has its fastest number of threads. Models have one head, or four heads and three fewer layers in the trunk.
 * All losses must agree.
 */
export const trainAgainstPeers: Bench = {
  name: 'train-against-peers',
  async run(setup, report) {
    if (setup.device.name !== 'cpu') {
      console.log('train-against-peers: the peers here run on the CPU only');
      return;
    }
    const text = await readFile(require.resolve('typescript/lib/typescript.d.ts'));
    let ofOne: number[] | undefined;
    for (const n of [1, 4]) {
      using model = randomModel(setup, {
        layers: LAYERS - n + 1,
        hidden: 256,
        mtp: { kind: 'parallel', numHeads: n },
      });
      const peers = await startPeers(setup, model, batchOf(text, 0, n));
      try {
        const steps = await learnInTurns([ours(model), ...peers], text, n);
        const params = { n, parameters: model.parameters.size, batch: BATCH, T: LENGTH };
        const flops = 3 * BATCH * LENGTH * forwardFlops(model, LENGTH / 2);
        const floor = flops / productRate(await ceilings(setup.device), 'float32');
        resultsOf(steps, params, floor).forEach(report);
        const seconds = steps.get('foretoken')!.map((step) => step.seconds);
        if (ofOne) {
          report(
            bare('train-against-peers/against-one-head', params, '×', [median(seconds) / median(ofOne)]),
          );
        }
        ofOne ??= seconds;
      } finally {
        for (const { program } of peers) await program[Symbol.asyncDispose]();
      }
    }
  },
};

function resultsOf(steps: ReadonlyMap<string, Step[]>, params: Result['params'], floor: number): Result[] {
  const seconds = (name: string): number[] => steps.get(name)!.map((step) => step.seconds);
  return [...steps.keys()].flatMap((name) => {
    const time = duration(`train-against-peers/${name}`, params, seconds(name), floor);
    if (name === 'foretoken') return [time];
    const ratios = seconds(name).map((theirs, i) => seconds('foretoken')[i]! / theirs);
    return [time, bare(`train-against-peers/time-against-${name}`, params, '×', ratios)];
  });
}

/** Runs all steps; the first one is not measured. */
async function learnInTurns(
  learners: readonly Learner[],
  text: Uint8Array,
  n: number,
): Promise<Map<string, Step[]>> {
  const steps = new Map(learners.map(({ name }): [string, Step[]] => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    const batch = batchOf(text, round, n);
    let expected: number | undefined;
    for (const { name, step } of learners) {
      const done = await step(batch);
      expected ??= done.loss;
      if (!(Math.abs(done.loss / expected - 1) < TOLERANCE)) {
        throw new Error(`train-against-peers: the loss of ${name} is ${done.loss} instead of ${expected}`);
      }
      if (round > 0) steps.get(name)!.push(done);
    }
  }
  return steps;
}

/** Makes a batch of rows from different places in the text. */
function batchOf(text: Uint8Array, round: number, n: number): TrainingBatch {
  const begins = Array.from(
    { length: BATCH },
    (_, row) => ((round * BATCH + row) * 7919) % (text.length - LENGTH - n),
  );
  const ahead = (distance: number): Int32Array =>
    Int32Array.from(
      begins.flatMap((begin) => [...text.subarray(begin + distance, begin + distance + LENGTH)]),
    );
  return {
    batch: BATCH,
    length: LENGTH,
    tokens: ahead(0),
    starts: new Int32Array(BATCH * LENGTH),
    targets: Array.from({ length: n }, (_, k) => ahead(k + 1)),
  };
}

function ours(model: MtpModel): Learner {
  const { learningRate, ...options } = OPTIMIZER;
  const optimizer = new AdamW(model.parameters, { ...options, maxGradNorm: 0 });
  const weights = new Array<number>(model.numHeads).fill(1 / (BATCH * LENGTH));
  model.tables.reserve(LENGTH);
  return {
    name: 'foretoken',
    async step(batch) {
      const start = performance.now();
      const losses = scope(() => {
        model.parameters.zeroGradients();
        const heads = backwardHeadByHead(model, uploadBatch(model.device, batch, model.heads), { weights });
        optimizer.update(learningRate);
        return heads.map((head) => head!.loss);
      });
      let loss = 0;
      for (const each of losses) loss += await each.item();
      for (const each of losses) each.dispose();
      return { loss, seconds: (performance.now() - start) / 1000 };
    },
  };
}

interface Peer extends Learner {
  program: LineProcess;
}

/** Starts the peers that can run here, with the weights of the model. Peers are paused except while they answer. */
async function startPeers(setup: Setup, model: MtpModel, first: TrainingBatch): Promise<Peer[]> {
  const directory = await mkdtemp(join(tmpdir(), 'foretoken-bench-'));
  try {
    const path = join(directory, 'model');
    await saveModel(path, model, createTokenizer(byteTokenizerFiles()));
    const { numHiddenLayers, numAttentionHeads, headDim, rmsNormEps, ropeTheta } = model.config;
    const given = {
      ...{ path: join(path, 'model.safetensors'), optimizer: OPTIMIZER, length: LENGTH },
      ...{ heads: model.numHeads, layers: numHiddenLayers, queryHeads: numAttentionHeads, headDim },
      ...{ eps: rmsNormEps, theta: ropeTheta },
    };
    const started: Peer[] = [];
    for (const [name, command, script] of [
      ['torch', setup.python, 'train.py'],
      ['mlx', process.execPath, 'train.mjs'],
    ] as const) {
      const start = (threads: number): Promise<Peer | null> =>
        startPeer(name, command, [join(__dirname, 'peers', script), JSON.stringify({ ...given, threads })]);
      const peer = await fastestThreads(start, async ({ step }) => {
        await step(first);
        return median([(await step(first)).seconds, (await step(first)).seconds]);
      });
      if (peer) started.push(peer);
    }
    return started;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function startPeer(name: string, command: string, options: readonly string[]): Promise<Peer | null> {
  const program = new LineProcess(command, options);
  if (!(await program.answer())) {
    console.log(`train-against-peers: no ${name}, because of ${command}: ${program.complaint}`);
    return null;
  }
  program.pause();
  const step = async ({ tokens, targets }: TrainingBatch): Promise<Step> => {
    const request = { tokens: [...tokens], targets: targets.map((each) => [...each]) };
    return (await program.askInTurn(request)) as unknown as Step;
  };
  return { name, step, program };
}
