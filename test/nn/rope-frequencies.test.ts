// Frequencies of rotary angles equal those of plain formulas, at the sizes of real models.
import { readRope } from '../../lib/model/families/rope-keys';
import { Fields } from '../../lib/model/fields';
import { ropeFrequencies } from '../../lib/nn/rope-frequencies';
import { frequencies } from '../support/reference-model';

const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };

it.each<[object, number, number]>([
  [{}, 64, 10000],
  [{ rope_type: 'linear', factor: 4 }, 128, 1e6],
  [{ ...llama3, original_max_position_embeddings: 8192 }, 128, 500000],
  [{ ...llama3, factor: 32, high_freq_factor: 2.5, original_max_position_embeddings: 4096 }, 64, 500000],
  [{ type: 'yarn', factor: 4, original_max_position_embeddings: 32768 }, 128, 1e6],
  [{ rope_type: 'yarn', factor: 4 }, 128, 1e6],
  [{ rope_type: 'yarn', factor: 4, truncate: false, beta_fast: 16, beta_slow: 2 }, 128, 10000],
  [{ rope_type: 'yarn', factor: 4, truncate: false }, 128, 10000],
  [{ rope_type: 'yarn', factor: 40, attention_factor: 0.9 }, 64, 10000],
  [{ rope_type: 'yarn', factor: 40, mscale: 1, mscale_all_dim: 0.707 }, 64, 10000],
  [{ rope_type: 'yarn', factor: 40, mscale: 1 }, 64, 10000],
  [{ rope_type: 'yarn', factor: 0.5, original_max_position_embeddings: 64 }, 8, 100],
  // The blended range is empty: both of its ends are dimension 0.
  [{ rope_type: 'yarn', factor: 2, original_max_position_embeddings: 2 }, 8, 100],
])('%j', (rope, rotatedDim, theta) => {
  const fields = new Fields('config.json: llama', { rope_scaling: rope, rope_theta: theta });
  const { ropeScaling = null } = readRope(fields);
  const actual = ropeFrequencies({ rotatedDim, theta, scaling: ropeScaling, maxPositions: 131072 });
  const [expected, scale] = frequencies({ ...rope }, rotatedDim, theta, 131072);
  expect(actual.scale).toBeCloseTo(scale, 12);
  expect(actual.frequencies.length).toBe(expected.length);
  actual.frequencies.forEach((frequency, i) => {
    expect(Math.abs(frequency / expected[i]! - 1)).toBeLessThan(1e-12);
  });
});
