/**
 * Calls the fused unembedding and cross-entropy on plain typed arrays: losses, gradients and per-row results, from logits that never
 * exist as a whole.
 *
 *   node --require ./scripts/typescript-hook.js examples/loss-on-arrays.ts
 */
import { linearCrossEntropy, openDevice, scope } from '../lib';

async function main(): Promise<void> {
  const [heads, rows, dim, vocab] = [2, 4, 3, 5];
  // Two heads of four rows each share one unembedding. -100 marks a row without a target, which takes no time.
  const hidden = Float32Array.from({ length: heads * rows * dim }, (_, i) => Math.sin(i));
  const unembedding = Float32Array.from({ length: vocab * dim }, (_, i) => Math.cos(i));
  const targets = Int32Array.of(1, 4, 0, -100, 2, 3, -100, -100);

  using device = openDevice('cpu');
  const { loss, nll, gradHidden } = scope(() => {
    const h = device.tensor(hidden, [heads * rows, dim]).requireGrad();
    const w = device.tensor(unembedding, [vocab, dim]);
    const result = linearCrossEntropy(h, w, device.tensor(targets), {
      heads,
      reduction: 'meanPerHead',
      zLoss: 1e-4,
      outputs: ['nll'],
    });
    result.loss.backward();
    return { loss: result.loss, nll: result.nll!, gradHidden: h.grad! };
  });
  console.log('loss', (await loss.item()).toFixed(4));
  console.log('-log p of each target', Array.from(await nll.data(), (x) => x.toFixed(4)).join('  '));
  const gradients = await gradHidden.data();
  console.log('gradient of the hidden states, a row each:');
  for (let row = 0; row < heads * rows; row++) {
    console.log(Array.from(gradients.subarray(row * dim, (row + 1) * dim), (x) => x.toFixed(4)).join('  '));
  }
}

void main();
