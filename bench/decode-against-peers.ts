import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LanguageModel } from '../lib/decode/language-model';
import type { Speculation } from '../lib/decode/options';
import { saveModel } from '../lib/model/checkpoint';
import { saveGguf } from '../lib/model/gguf/write';
import { loadModel } from '../lib/model/load';
import { byteTokenizerFiles, createTokenizer } from '../lib/model/tokenizer';
import type { Device } from '../lib/tensor/device';
import type { WeightDType } from '../lib/tensor/types';
import {
  bare,
  bytesOf,
  ceilings,
  median,
  rate,
  type Bench,
  type Report,
  type Result,
  type Setup,
} from './harness';
import { fastestThreads, LineProcess } from './line-process';
import { randomModel } from './models';
import { heldOutPrompts, openSources, trainedModel } from './trained-models';

const PEERS = ['llama.node', 'node-llama-cpp'] as const;
/** The peers use Q8_0 for int8. */
const DTYPES = ['float32', 'bfloat16', 'int8'] as const;
/** Fewer for large models, with which the slower peer would take minutes. */
const NEW_TOKENS = { small: 64, large: 16 };
const LARGE = 200e6;
const ROUNDS = 5;

interface Decoded {
  /** The new tokens. */
  tokens: number[];
  /** The number of new tokens. A peer returns text, which may have fewer characters than tokens. */
  count: number;
  /** The time for the new tokens, without the prompt. */
  seconds: number;
}

/** Continues a prompt greedily. */
interface Contender {
  name: string;
  decode: (prompt: Int32Array) => Promise<Decoded>;
}

/**
 * Compares greedy decoding of the same weights by foretoken and by the llama.cpp bindings for Node, alternating between them;
 * each peer has its fastest number of threads. Models with random weights decode plainly; a trained one with four heads also
 * decodes speculatively.
 */
export const decodeAgainstPeers: Bench = {
  name: 'decode-against-peers',
  async run(setup, report) {
    if (setup.device.name !== 'cpu') {
      console.log('decode-against-peers: the peers here run on the CPU only');
      return;
    }
    const packages = join(__dirname, 'peers/node_modules');
    if (!existsSync(packages)) {
      console.log('decode-against-peers: no peers; npm install --ignore-scripts in bench/peers brings them');
      return;
    }
    const directory = await mkdtemp(join(tmpdir(), 'foretoken-bench-'));
    try {
      for (const size of [
        { layers: 6, hidden: 256 },
        { layers: 8, hidden: 512 },
        { layers: 14, hidden: 768 },
        { layers: 22, hidden: 1152 },
      ]) {
        // Large enough that the drawn tokens differ.
        const options = { ...size, initializerRange: 3 / size.hidden };
        const path = join(directory, 'random');
        using model = randomModel({ ...setup, dtype: 'float32' }, options);
        await saveModel(path, model, createTokenizer(byteTokenizerFiles()));
        const prompts = [Int32Array.from(Buffer.from('export interface N'))];
        for (const dtype of DTYPES) await compare(setup, path, dtype, prompts, ['none'], report);
        await rm(path, { recursive: true });
      }
      const data = await openSources(setup);
      try {
        const { checkpoint } = await trainedModel(setup, data, 4);
        const prompts = heldOutPrompts(data, 8, 64);
        const chain = { tree: 'chain', depth: 3 } as const;
        for (const dtype of DTYPES) {
          await compare(setup, checkpoint, dtype, prompts, ['none', chain, { tree: 'adaptive' }], report);
        }
      } finally {
        await data.close();
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};

/** Measures all ways to continue the prompts with the model in a directory, one after another in each round. */
async function compare(
  setup: Setup,
  directory: string,
  dtype: (typeof DTYPES)[number],
  prompts: readonly Int32Array[],
  speculations: readonly Speculation[],
  report: Report,
): Promise<void> {
  using language = await LanguageModel.load(directory, { device: setup.device, dtype });
  const { model } = language;
  const newTokens = model.parameters.size > LARGE ? NEW_TOKENS.large : NEW_TOKENS.small;
  const contenders = speculations.map((speculation) => ours(language, speculation, newTokens));
  const copy = await mkdtemp(join(tmpdir(), 'foretoken-gguf-'));
  const peers: LineProcess[] = [];
  try {
    await writeTrunk(setup.device, directory, join(copy, 'model.gguf'), dtype);
    for (const name of PEERS) {
      const { program, decode } = await fastest(name, join(copy, 'model.gguf'), prompts[0]!, newTokens);
      peers.push(program);
      contenders.push({ name, decode });
    }
    const { seconds, readRate } = await timeInTurns(setup.device, contenders, prompts);
    // A plain step runs only head 1.
    const trunk = model.parameters.parameters.filter(({ parts }) => !parts[0]!.name.startsWith('mtp.'));
    const parameters = trunk.reduce((sum, { size }) => sum + size, 0);
    resultsOf(seconds, { parameters, dtype }, readRate).forEach(report);
  } finally {
    for (const peer of peers) await peer[Symbol.asyncDispose]();
    await rm(copy, { recursive: true, force: true });
  }
}

/** Writes the trunk of a model for the peers, its matrices in the type that ours are in. */
async function writeTrunk(
  device: Device,
  directory: string,
  path: string,
  dtype: WeightDType,
): Promise<void> {
  const { model, tokenizer } = await loadModel(device, directory);
  try {
    await saveGguf(path, model, tokenizer, { dtype, trunkOnly: true });
  } finally {
    model.dispose();
  }
}

/** @param readRate bytes per second; a plain step reads all weights once */
function resultsOf(
  seconds: ReadonlyMap<string, number[]>,
  params: { parameters: number; dtype: (typeof DTYPES)[number] },
  readRate: number,
): Result[] {
  const ceiling = readRate / (params.parameters * bytesOf(params.dtype));
  const theirs = PEERS.map((name) => seconds.get(name)!);
  return [...seconds].flatMap(([name, own]) => {
    const speed = rate(
      `decode-against-peers/${name}`,
      params,
      'tokens/s',
      1,
      own,
      name === 'plain' ? ceiling : null,
    );
    if (isPeer(name)) return [speed];
    const ratios = own.map((each, i) => Math.min(...theirs.map((peer) => peer[i]!)) / each);
    return [speed, bare(`decode-against-peers/${name}-against-fastest`, params, '×', ratios)];
  });
}

const isPeer = (name: string): boolean => PEERS.some((peer) => peer === name);

function ours(language: LanguageModel, speculation: Speculation, newTokens: number): Contender {
  return {
    name: speculation === 'none' ? 'plain' : (speculation as { tree: string }).tree,
    async decode(prompt) {
      const generation = language.generate(prompt, { maxTokens: newTokens, ignoreEos: true, speculation });
      const tokens: number[] = [];
      for await (const piece of generation) tokens.push(...piece.tokens);
      return { tokens, count: tokens.length, seconds: generation.stats.decodeSeconds };
    },
  };
}

interface Peer {
  program: LineProcess;
  decode: Contender['decode'];
}

/** Starts a peer with the number of threads that is fastest for this model. The peer is paused except while it answers. */
async function fastest(name: string, path: string, prompt: Int32Array, newTokens: number): Promise<Peer> {
  const startPeer = async (threads: number): Promise<Peer> => {
    const program = await start(name, path, threads);
    program.pause();
    const decode: Contender['decode'] = async (tokens) =>
      (await program.askInTurn({ prompt: [...tokens], count: newTokens })) as unknown as Decoded;
    return { program, decode };
  };
  const peer = await fastestThreads(startPeer, async ({ decode }) => {
    const runs = [await decode(prompt), await decode(prompt), await decode(prompt)];
    return median(runs.map(({ seconds }) => seconds));
  });
  return peer!; // not null, because `start` throws if a peer does not start
}

async function start(name: string, path: string, threads: number): Promise<LineProcess> {
  const program = join(__dirname, 'peers/decode.mjs');
  const peer = new LineProcess(process.execPath, [program, name, path, String(threads)]);
  const first = await peer.answer();
  if (first?.ready) return peer;
  await peer[Symbol.asyncDispose]();
  const problem = typeof first?.error === 'string' ? first.error : peer.complaint;
  throw new Error(`decode-against-peers: ${name} does not start: ${problem}`);
}

/**
 * Measures seconds per token of each contender in every round, after an unmeasured first round. All of foretoken's contenders
 * must write the same tokens; the peers, which round differently, must write the same first token. The rate of reading memory
 * changes, so every round measures it.
 */
async function timeInTurns(
  device: Device,
  contenders: readonly Contender[],
  prompts: readonly Int32Array[],
): Promise<{ seconds: Map<string, number[]>; readRate: number }> {
  const seconds = new Map(contenders.map(({ name }): [string, number[]] => [name, []]));
  const readRates: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    readRates.push((await ceilings(device)).readBytesPerSecond);
    const firsts: number[][] = [];
    // All prompts of a contender run one after another, as in normal use.
    for (const { name, decode } of contenders) {
      const sum = { seconds: 0, count: 0 };
      for (const [p, prompt] of prompts.entries()) {
        const result = await decode(prompt);
        const first = (firsts[p] ??= result.tokens);
        const same = isPeer(name) ? 1 : first.length;
        if (result.tokens.slice(0, same).join() !== first.slice(0, same).join()) {
          throw new Error(
            `decode-against-peers: ${name} writes ${result.tokens.join()} instead of ${first.join()}`,
          );
        }
        sum.seconds += result.seconds;
        sum.count += result.count;
      }
      if (round > 0) seconds.get(name)!.push(sum.seconds / sum.count);
    }
  }
  return { seconds, readRate: median(readRates) };
}
