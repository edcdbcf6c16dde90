// Decodes greedily with llama.cpp, for bench/decode-against-peers.ts. Arguments: the package, the model's file, the number of
// threads. Prints { ready: true } or { error }, then answers each line { prompt, count }, the prompt as an array of bytes,
// with { tokens, seconds, count }: the new tokens, and their time without the prompt.
import { Buffer } from 'node:buffer';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { createInterface } from 'node:readline';

const [name, path, threads] = process.argv.slice(2);
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const CONTEXT = 512;

/** Uses the loop of llama.cpp's own server, which runs without JavaScript and reports its time. */
async function llamaNode() {
  const { loadModel } = await import('@fugood/llama.node');
  const options = {
    n_ctx: CONTEXT,
    n_parallel: 1,
    n_threads: Number(threads),
    n_gpu_layers: 0,
    use_mmap: false,
  };
  const context = await loadModel({ model: path, ...options });
  return async (prompt, count) => {
    const { text, timings } = await context.completion({
      prompt: Buffer.from(prompt).toString('latin1'),
      ...{
        n_predict: count,
        temperature: 0,
        top_k: 1,
        ignore_eos: true,
        n_threads: Number(threads),
        cache_prompt: false,
      },
    });
    return {
      tokens: [...Buffer.from(text)],
      seconds: timings.predicted_ms / 1000,
      count: timings.predicted_n,
    };
  };
}

/** Uses a loop in JavaScript, one token at a time. */
async function nodeLlamaCpp() {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({ contextSize: CONTEXT, threads: Number(threads) });
  const sequence = context.getSequence();
  return async (prompt, count) => {
    await sequence.clearHistory();
    const tokens = [];
    let start = 0;
    for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
      // The first token ends the time of the prompt.
      if (tokens.length === 0) start = performance.now();
      tokens.push(token);
      if (tokens.length === count + 1) break;
    }
    return { tokens, seconds: (performance.now() - start) / 1000, count };
  };
}

try {
  const decode = await (name === 'node-llama-cpp' ? nodeLlamaCpp() : llamaNode());
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const { prompt, count } = JSON.parse(line);
    say(await decode(prompt, count));
  }
} catch (error) {
  say({ error: error.message.split('\n')[0] });
}
process.exit(0);
