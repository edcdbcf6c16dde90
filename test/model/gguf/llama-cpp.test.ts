import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDevice } from '../../../lib/tensor/device';
import {
  compareWithReference,
  FAMILY_MODELS,
  randomModel,
  type Reference,
} from '../../support/family-models';

// The references are what llama.cpp v0.5.0 (28 September 2026) computes for the same models as GGUF, in float32 throughout; see
// bench/compare-logits.ts. Its Gemma takes GELU from a table of float16 numbers.
const TOLERANCE = 5e-5;
const TOLERANCE_OF_GEMMA = 1e-2;

const recorded = JSON.parse(
  readFileSync(join(__dirname, '../../fixtures/llama-cpp-logits.json'), 'utf8'),
) as Readonly<Record<string, Reference>>;

it('is recorded for every family', () => {
  expect(Object.keys(recorded)).toEqual(Object.keys(FAMILY_MODELS));
});

it.each(Object.keys(recorded))('%s computes the logits of llama.cpp and chooses its tokens', async (name) => {
  using device = openDevice('cpu', { threads: 1 });
  using model = await randomModel(device, FAMILY_MODELS[name]!);
  const { logits, tokens } = recorded[name]!;
  const bytes = new Uint8Array(Buffer.from(logits, 'base64'));
  const { difference, alike } = await compareWithReference(model, new Float32Array(bytes.buffer), tokens);
  expect(difference).toBeLessThan(name === 'gemma3_text' ? TOLERANCE_OF_GEMMA : TOLERANCE);
  expect(alike).toBe(tokens.length);
});
