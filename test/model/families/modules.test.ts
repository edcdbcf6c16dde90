// Modules of others for further tokens: what they draft equals a forward pass in float64 that reads the same checkpoint. A wrong norm,
// order or state would show in acceptance alone, never in a text.
import { inputsOf, stateOf } from '../../../lib/heads/inputs';
import { saveModel } from '../../../lib/model/checkpoint';
import { loadModel } from '../../../lib/model/load';
import type { MtpModel } from '../../../lib/model/model';
import { readSafetensors, type NamedTensor } from '../../../lib/model/safetensors';
import { noGrad } from '../../../lib/tensor/autograd';
import { openDevice, type Device } from '../../../lib/tensor/device';
import { linear } from '../../../lib/tensor/ops/linear/linear';
import { keep, scope } from '../../../lib/tensor/scope';
import {
  CONFIGS,
  moduleShapes,
  namedTensors,
  randomCheckpoint,
  shapesOf,
  writeCheckpoint,
  type Json,
} from '../../support/checkpoints';
import { foretokenError } from '../../support/errors';
import { tokensOf } from '../../support/exact';
import { Random } from '../../support/random';
import { product, ReferenceModel } from '../../support/reference-model';
import { rowsOfText } from '../../support/rows-of-text';
import { TemporaryDirectory } from '../../support/temporary';
import { relativeError, tokenizer } from '../../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

const length = 24;
const random = new Random(4);
const text = Array.from({ length }, () => random.integer(260));

/** The names of a module's tensors, and whether its projection reads the state first. */
interface Layout {
  names: readonly [token: string, state: string, projection: string, norm: string];
  stateFirst: boolean;
  /** Begins the names of its layer. Default: nothing. */
  block?: string;
}
const MIMO: Layout = {
  names: ['token_layernorm', 'hidden_layernorm', 'input_proj', 'final_layernorm'],
  stateFirst: true,
};
const QWEN: Layout = {
  names: ['pre_fc_norm_embedding', 'pre_fc_norm_hidden', 'fc', 'norm'],
  stateFirst: false,
  block: 'layers.0.',
};
const LAYERS: Layout = { names: ['enorm', 'hnorm', 'eh_proj', 'shared_head.norm'], stateFirst: false };

/** Checkpoints with modules, each with the prefixes of its modules. */
const cases: [string, Json, Layout, string[]][] = [
  ['MiMo', { ...CONFIGS.mimo!, num_nextn_predict_layers: 1 }, MIMO, ['model.mtp_layers.0.']],
  ['MiMo with two modules', CONFIGS.mimo!, MIMO, ['model.mtp_layers.0.', 'model.mtp_layers.1.']],
  ['layers after the trunk', { ...CONFIGS.llama!, num_nextn_predict_layers: 1 }, LAYERS, ['model.layers.4.']],
  [
    'such layers, undeclared',
    CONFIGS['llama, yarn of DeepSeek']!,
    LAYERS,
    ['model.layers.4.', 'model.layers.5.'],
  ],
  [
    'such layers after a tied trunk',
    CONFIGS['llama, tied, with biases and heads of another width']!,
    LAYERS,
    ['model.layers.4.'],
  ],
  ['Qwen3.5', { ...CONFIGS.qwen3_5!, mtp_num_hidden_layers: 1 }, QWEN, ['mtp.']],
];

function checkpointOf(json: Json, { names, block }: Layout, prefixes: readonly string[]) {
  const shapes = shapesOf(json);
  for (const prefix of prefixes) moduleShapes(shapes, json, prefix, names, block);
  return randomCheckpoint(json, shapes);
}

/** Logits of heads 2 … n of the loaded model: of token t+k for each t. */
async function draftedLogits(model: MtpModel): Promise<Float32Array[]> {
  model.tables.reserve(length);
  const ints = (values: readonly number[]) => device.tensor(Int32Array.from(values));
  const all = noGrad(() =>
    scope(() => {
      const starts = ints(text.map(() => 0));
      const positions = ints(text.map((_, i) => i));
      const rows = { kind: 'packed', batch: 1, starts, positions } as const;
      let { hidden: previous } = model.states(ints(text), rowsOfText(model, length));
      return Array.from({ length: model.numHeads - 1 }, (_, i) => {
        const tokens = ints(text.map((_token, t) => text[t + i + 1] ?? 0));
        const out = model.heads.forward(i + 2, inputsOf(model.heads, { previous, tokens }, rows));
        previous = stateOf(i + 2, out);
        return keep(linear(out.hidden, model.unembeddingFor(out.hidden), null));
      });
    }),
  );
  return Promise.all(
    all.map(async (logits) => {
      using each = logits;
      return (await each.data()) as Float32Array;
    }),
  );
}

describe.each(cases)('%s', (_, json, layout, prefixes) => {
  const checkpoint = checkpointOf(json, layout, prefixes);
  const reference = new ReferenceModel(json, checkpoint);

  it('drafts what the reference drafts', async () => {
    const directory = await writeCheckpoint(temporary, json, namedTensors(checkpoint));
    using model = (await loadModel(device, directory)).model;
    const heads = prefixes.length === 1 ? 4 : prefixes.length + 1;
    expect(model.config.mtp).toMatchObject({ kind: 'recursive', numHeads: heads });
    const logits = await draftedLogits(model);
    const [token, state, projection, norm] = layout.names;
    let previous = reference.states(text).hidden;
    for (let k = 2; k <= heads; k++) {
      const prefix = prefixes[Math.min(k - 2, prefixes.length - 1)]!;
      const rows = previous.slice(0, length - k + 1);
      const embedded = reference.norm(reference.embed(text.slice(k - 1)), prefix + token);
      const before = reference.norm(rows, prefix + state);
      const inputs = rows.map((_row, t) => {
        const parts = layout.stateFirst ? [before[t]!, embedded[t]!] : [embedded[t]!, before[t]!];
        return Float64Array.from([...parts[0]!, ...parts[1]!]);
      });
      const projected = inputs.map((row) => product(row, reference.tensor(`${prefix}${projection}.weight`)));
      const block = reference.block(projected, prefix + (layout.block ?? ''), {
        angles: reference.angles(),
        window: Infinity,
      });
      previous = reference.norm(block, prefix + norm);
      const expected = Float32Array.from(reference.logits(previous).flatMap((row) => [...row]));
      const actual = logits[k - 2]!.subarray(0, expected.length);
      expect([k, relativeError(actual, expected) < 1e-5]).toEqual([k, true]);
    }
  });

  it('is saved under its own names, and decodes the same text with and without drafts', async () => {
    const directory = await writeCheckpoint(temporary, json, namedTensors(checkpoint));
    using model = (await loadModel(device, directory)).model;
    await saveModel(temporary.at('again'), model, tokenizer);
    const file = await readSafetensors(temporary.at('again'));
    expect([...file.names].sort()).toEqual([...checkpoint.keys()].sort());
    await file.close();
    using again = (await loadModel(device, temporary.at('again'))).model;
    expect(again.config).toEqual(model.config);
    const common = { maxTokens: 20, ignoreEos: true };
    const plain = await tokensOf(model, text, { ...common, speculation: 'none' });
    for (const speculation of [{ tree: 'chain' }, { tree: 'best', nodes: 6 }] as const) {
      expect(await tokensOf(again, text, { ...common, speculation })).toEqual(plain);
    }
  });
});

describe('other files', () => {
  const [, json, layout, prefixes] = cases[2]!;
  const checkpoint = checkpointOf(json, layout, prefixes);
  const tensors = namedTensors(checkpoint);
  const copy = (from: string, name: string): NamedTensor => ({
    ...tensors.find((tensor) => tensor.name === from)!,
    name: `model.layers.4.${name}`,
  });

  it('modules that are declared but absent do not exist', async () => {
    const trunk = namedTensors(randomCheckpoint(json));
    using model = (await loadModel(device, await writeCheckpoint(temporary, json, trunk))).model;
    expect(model.numHeads).toBe(1);
  });

  it('tensors of modules that repeat those of the trunk are left out', async () => {
    const copies = [
      copy('model.embed_tokens.weight', 'embed_tokens.weight'),
      copy('lm_head.weight', 'shared_head.head.weight'),
    ];
    using model = (await loadModel(device, await writeCheckpoint(temporary, json, [...tensors, ...copies])))
      .model;
    expect(model.numHeads).toBe(4);
  });

  it('an unembedding of the module’s own is refused', async () => {
    const copies = [copy('model.embed_tokens.weight', 'shared_head.head.weight')];
    const directory = await writeCheckpoint(temporary, json, [...tensors, ...copies]);
    await expect(loadModel(device, directory)).rejects.toEqual(
      foretokenError('UNSUPPORTED', 'llama', '"model.layers.4.shared_head.head.weight"', '"lm_head.weight"'),
    );
  });

  it('a module that lacks a tensor is refused', async () => {
    const directory = await writeCheckpoint(
      temporary,
      json,
      tensors.filter(({ name }) => !name.endsWith('enorm.weight')),
    );
    await expect(loadModel(device, directory)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', 'llama', 'lacks tensor "model.layers.4.enorm.weight"'),
    );
  });

  it('modules of hybrid models have no place', async () => {
    const fc: NamedTensor = {
      name: 'mtp.fc.weight',
      dtype: 'F32',
      shape: [16, 32],
      data: new Float32Array(512),
    };
    const directory = await writeCheckpoint(temporary, json, [...tensors, fc]);
    await expect(loadModel(device, directory)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', 'llama', '"mtp.fc.weight"', 'no place'),
    );
  });
});
