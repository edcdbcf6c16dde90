// Trains a small Llama with parallel heads in MLX, for bench/train-against-peers.ts. Argument, requests and answers are those of
// train.py.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { createInterface } from 'node:readline';

const given = JSON.parse(process.argv[2]);
process.env.OPENBLAS_NUM_THREADS = process.env.OMP_NUM_THREADS = String(given.threads);
const { core: mx, nn } = (await import('@frost-beta/mlx')).default;
const { length, queryHeads, headDim, eps, optimizer } = given;
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

/** Reads a safetensors file as arrays by name. */
function readSafetensors(path) {
  const file = readFileSync(path);
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, begin).toString());
  delete header.__metadata__;
  return Object.fromEntries(
    Object.entries(header).map(
      ([
        name,
        {
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        const bytes = Uint8Array.from(file.subarray(begin + from, begin + to));
        return [name, mx.array([...new Float32Array(bytes.buffer)]).reshape(shape)];
      },
    ),
  );
}

const start = readSafetensors(given.path);
const names = Object.keys(start);
let weights = names.map((name) => start[name]);
let means = weights.map((value) => mx.zerosLike(value));
let squares = weights.map((value) => mx.zerosLike(value));
let steps = 0;

const mask = nn.MultiHeadAttention.createAdditiveCausalMask(length);

/** The sum of the heads' mean losses; `of(name)` is a weight. */
function lossOf(of, tokens, targets) {
  const linear = (x, name) => mx.matmul(x, of(`${name}.weight`).transpose());
  const norm = (x, name) => mx.fast.rmsNorm(x, of(`${name}.weight`), eps);
  const block = (x, name) => {
    const h = norm(x, `${name}input_layernorm`);
    const [q, k, v] = ['q', 'k', 'v'].map((part) =>
      linear(h, `${name}self_attn.${part}_proj`)
        .reshape([-1, length, queryHeads, headDim])
        .transpose(0, 2, 1, 3),
    );
    const rotate = (heads) => mx.fast.rope(heads, headDim, false, given.theta, 1, 0);
    const attended = mx.fast.scaledDotProductAttention(rotate(q), rotate(k), v, headDim ** -0.5, mask);
    const out = attended.transpose(0, 2, 1, 3).reshape([-1, length, queryHeads * headDim]);
    const sum = mx.add(x, linear(out, `${name}self_attn.o_proj`));
    const g = norm(sum, `${name}post_attention_layernorm`);
    const gated = mx.multiply(nn.silu(linear(g, `${name}mlp.gate_proj`)), linear(g, `${name}mlp.up_proj`));
    return mx.add(sum, linear(gated, `${name}mlp.down_proj`));
  };
  const embedding = of('model.embed_tokens.weight');
  let z = mx.take(embedding, tokens, 0);
  for (let layer = 0; layer < given.layers - 1; layer++) z = block(z, `model.layers.${layer}.`);
  let total = mx.array(0);
  for (let k = 1; k <= given.heads; k++) {
    const name = k === 1 ? `model.layers.${given.layers - 1}.` : `mtp.heads.${k}.layer.`;
    const hidden = norm(block(z, name), k === 1 ? 'model.norm' : `mtp.heads.${k}.norm`);
    const logits = mx.matmul(hidden, embedding.transpose());
    total = mx.add(total, nn.losses.crossEntropy(logits, targets[k - 1], undefined, -1, 0, 'mean'));
  }
  return total;
}

/** AdamW with bias correction, which MLX's own AdamW leaves out. */
function update(gradients) {
  const { learningRate, beta1, beta2, weightDecay } = optimizer;
  steps += 1;
  const [bias1, bias2] = [1 - beta1 ** steps, 1 - beta2 ** steps];
  const mix = (beta, old, value) => mx.add(mx.multiply(beta, old), mx.multiply(1 - beta, value));
  means = means.map((mean, i) => mix(beta1, mean, gradients[i]));
  squares = squares.map((square, i) => mix(beta2, square, mx.square(gradients[i])));
  weights = weights.map((weight, i) => {
    const decayed = weight.ndim > 1 ? mx.multiply(1 - learningRate * weightDecay, weight) : weight;
    const root = mx.add(mx.sqrt(mx.divide(squares[i], bias2)), optimizer.eps);
    return mx.subtract(decayed, mx.multiply(learningRate / bias1, mx.divide(means[i], root)));
  });
}

const valueAndGrad = mx.valueAndGrad((values, tokens, targets) => {
  const byName = Object.fromEntries(names.map((name, i) => [name, values[i]]));
  return lossOf((name) => byName[name], tokens, targets);
}, 0);

mx.eval(weights, means, squares);
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const begin = performance.now();
  const rows = (values) => mx.array(values, mx.int32).reshape([-1, length]);
  const [value, gradients] = valueAndGrad(weights, rows(request.tokens), request.targets.map(rows));
  update(gradients);
  mx.eval(value, weights, means, squares);
  const loss = value.item();
  say({ loss, seconds: (performance.now() - begin) / 1000 });
}
