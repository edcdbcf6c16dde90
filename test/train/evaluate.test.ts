import { inputsOf } from '../../lib/heads/inputs';
import { MtpModel } from '../../lib/model/model';
import { uploadBatch } from '../../lib/train/loss';
import { native } from '../../lib/native/load';
import { noGrad } from '../../lib/tensor/autograd';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { PackedRows, TokenFile, writeTokenFile } from '../../lib/train/data';
import { evaluate } from '../../lib/train/evaluate';
import { describeEvaluation, summarizeEvaluation } from '../../lib/cli/evaluation';
import { foretokenError } from '../support/errors';
import { TrainingSetup } from '../support/training-setup';
import { tinyModel, tokenizer } from '../support/training';

const setup = new TrainingSetup();
const { temporary } = setup;

const LENGTH = 16;

function makeModel(kind: string, heads: number): MtpModel {
  const { vocabSize } = tokenizer;
  // Large weights make heads disagree.
  return new MtpModel(
    setup.device,
    { ...tinyModel(kind, heads), vocabSize, initializerRange: 0.5 },
    { seed: 8 },
  );
}

/** Logits [positions][vocab] of every head, computed with plain numbers. */
async function logitsOf(model: MtpModel, rows: PackedRows, row: number): Promise<number[][][]> {
  const batch = rows.batch([row]);
  const hiddens = noGrad(() =>
    scope((): Tensor[] => {
      const onDevice = uploadBatch(setup.device, { ...batch, batch: 1, length: LENGTH }, model.heads);
      const states = model.states(onDevice.tokens, onDevice.rows);
      const { following } = onDevice;
      const all = [states.hidden];
      let previous = states.hidden;
      for (let k = 2; k <= model.numHeads; k++) {
        const available = { ...states, previous, tokens: following[k - 2], root: following[0] };
        const out = model.heads.forward(k, inputsOf(model.heads, available, onDevice.rows));
        previous = out.state ?? states.hidden;
        all.push(out.hidden);
      }
      return all;
    }),
  );
  const weight = await model.unembedding.value.data();
  const dim = model.config.hiddenSize;
  return Promise.all(
    hiddens.map(async (tensor) => {
      const hidden = await tensor.data();
      tensor.dispose();
      return Array.from({ length: LENGTH }, (_, t) =>
        Array.from({ length: model.config.vocabSize }, (_, v) => {
          let sum = 0;
          for (let d = 0; d < dim; d++) sum += hidden[t * dim + d]! * weight[v * dim + d]!;
          return sum;
        }),
      );
    }),
  );
}

/** Document of each token, counted by end tokens. */
async function documentsOf(file: TokenFile): Promise<{ ids: number[]; document: number[] }> {
  const ids = new Int32Array(file.length);
  file.read(0, file.length, ids);
  let current = 0;
  const document = [...ids].map((id) => (id === tokenizer.eosId ? current++ : current));
  return Promise.resolve({ ids: [...ids], document });
}

const argmax = (values: number[]): number => values.indexOf(Math.max(...values));
const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const share = (values: boolean[]): number => mean(values.map(Number));

it.each([
  ['parallel', 3],
  ['medusa', 3],
  ['rooted', 3],
  ['sequential', 3],
  ['recursive', 3],
  ['parallel', 1],
] as const)('equals a plain computation: %s heads, %d', async (kind, heads) => {
  using model = makeModel(kind, heads);
  const rows = new PackedRows(setup.data, { rowLength: LENGTH, heads });
  const actual = await evaluate(model, rows, { batchSize: 3, tokenizer });

  const { ids, document } = await documentsOf(setup.data);
  const seen = Array.from({ length: heads }, () => ({ nll: [] as number[], ranks: [] as number[] }));
  const agreements: boolean[][] = [];
  let bytes = 0;
  for (let row = 0; row < rows.length; row++) {
    const logits = await logitsOf(model, rows, row);
    for (let t = 0; t < LENGTH; t++) {
      const position = row * LENGTH + t;
      const agreement: boolean[] = [];
      for (let k = 1; k <= heads; k++) {
        const target = ids[position + k];
        if (target === undefined || document[position + k] !== document[position]) break;
        const z = logits[k - 1]![t]!;
        const lse = Math.log(z.reduce((sum, value) => sum + Math.exp(value - z[0]!), 0)) + z[0]!;
        seen[k - 1]!.nll.push(lse - z[target]!);
        seen[k - 1]!.ranks.push(z.filter((value) => value > z[target]!).length);
        if (k === 1) bytes += target === tokenizer.eosId ? 0 : 1;
        if (k > 1 && t + k - 1 < LENGTH) agreement.push(argmax(z) === argmax(logits[0]![t + k - 1]!));
      }
      agreements.push(agreement);
    }
  }
  actual.heads.forEach((head, i) => {
    const { nll, ranks } = seen[i]!;
    expect(head.head).toBe(i + 1);
    expect(head.count).toBe(nll.length);
    expect(head.loss).toBeCloseTo(mean(nll), 4);
    expect(head.perplexity! / Math.exp(mean(nll))).toBeCloseTo(1, 4);
    expect(head.top1).toBe(share(ranks.map((rank) => rank === 0)));
    expect(head.top5).toBe(share(ranks.map((rank) => rank < 5)));
    if (i === 0) {
      expect(head.acceptance).toBeNull();
      return;
    }
    const comparable = agreements.filter((agreement) => agreement.length >= i);
    const cumulative = comparable.map((agreement) => agreement.slice(0, i).every(Boolean));
    const reached = comparable.filter((agreement) => agreement.slice(0, i - 1).every(Boolean));
    expect(head.acceptance!.count).toBe(comparable.length);
    expect(head.acceptance!.cumulative).toBe(share(cumulative));
    expect(head.acceptance!.conditional).toBe(share(reached.map((agreement) => agreement[i - 1]!)));
  });
  expect(actual.loss).toBe(actual.heads[0]!.loss);
  expect(actual.bitsPerByte! / (seen[0]!.nll.reduce((a, b) => a + b) / Math.LN2 / bytes)).toBeCloseTo(1, 4);
});

it('heads that copy head 1 are accepted where head 1 repeats itself', async () => {
  // Medusa heads begin as copies of head 1, so they agree with head 1 at the next position exactly where head 1 predicts the
  // same token twice.
  using model = makeModel('medusa', 2);
  const path = temporary.at('same.tokens');
  await writeTokenFile(path, tokenizer.vocabSize, [new Int32Array(200).fill(65)]);
  const same = await TokenFile.open(path);
  const rows = new PackedRows(same, { rowLength: LENGTH, heads: 2 });
  const { heads } = await evaluate(model, rows);
  // Every position sees the same single token, so head 1 predicts the same token everywhere.
  expect(heads[1]!.acceptance).toEqual({ count: rows.length * (LENGTH - 1), cumulative: 1, conditional: 1 });
  await same.close();
});

it('reports null for heads without targets', async () => {
  using model = makeModel('medusa', 4);
  const path = temporary.at('short.tokens');
  // Documents of two tokens: head 1 has one target in each, the other heads have none.
  await writeTokenFile(
    path,
    tokenizer.vocabSize,
    new Array<Int32Array>(40).fill(Int32Array.of(65, tokenizer.eosId!)),
  );
  const short = await TokenFile.open(path);
  const evaluation = await evaluate(model, new PackedRows(short, { rowLength: LENGTH, heads: 4 }), {
    tokenizer,
  });
  await short.close();
  expect(evaluation.loss).toBeGreaterThan(0);
  for (const head of evaluation.heads.slice(1)) {
    expect(head).toEqual({
      ...{ head: head.head, count: 0, loss: null, perplexity: null, top1: null, top5: null },
      acceptance: { count: 0, cumulative: null, conditional: null },
    });
  }
  expect(JSON.stringify(evaluation)).not.toContain('NaN');
  const text = describeEvaluation(evaluation) + summarizeEvaluation(evaluation);
  expect(text).not.toMatch(/NaN|Infinity/);
  expect(text).toContain('no targets for: head 2, 3, 4');
});

it('refuses a model whose logits are not numbers', async () => {
  using model = makeModel('parallel', 2);
  const { value } = model.parameters.buckets[0]!;
  value.write(new Float32Array(value.size).fill(NaN));
  model.parameters.changed();
  const rows = new PackedRows(setup.data, { rowLength: LENGTH, heads: 2 });
  await expect(evaluate(model, rows)).rejects.toEqual(
    foretokenError('DIVERGED', 'head 1', 'logits that are not numbers'),
  );
});

it('does not depend on the batch', async () => {
  using model = makeModel('sequential', 2);
  const rows = new PackedRows(setup.data, { rowLength: LENGTH, heads: 2 });
  expect(await evaluate(model, rows, { batchSize: 1 })).toEqual(
    await evaluate(model, rows, { batchSize: 7 }),
  );
});

it('evaluates as many rows as given', async () => {
  using model = makeModel('parallel', 1);
  const rows = new PackedRows(setup.data, { rowLength: LENGTH, heads: 1 });
  const { heads } = await evaluate(model, rows, { rows: 1 });
  expect(heads[0]!.count).toBeLessThanOrEqual(LENGTH);
  expect(await evaluate(model, rows, { rows: 0 })).toEqual(await evaluate(model, rows));
});

it('leaves no tensors behind and does not change the model', async () => {
  const before = native.liveTensors();
  {
    using model = makeModel('parallel', 3);
    const rows = new PackedRows(setup.data, { rowLength: LENGTH, heads: 3 });
    const first = await evaluate(model, rows, { batchSize: 5, rows: 5 });
    const running = native.liveTensors();
    expect(await evaluate(model, rows, { batchSize: 5, rows: 5 })).toEqual(first);
    expect(native.liveTensors()).toBe(running);
    expect(model.parameters.parameters.every(({ value }) => value.grad === null)).toBe(true);
  }
  expect(native.liveTensors()).toBe(before);
});

it('refuses rows for another number of heads and huge batches, and stops when aborted', async () => {
  using model = makeModel('parallel', 3);
  const rows = new PackedRows(setup.data, { rowLength: LENGTH, heads: 2 });
  await expect(evaluate(model, rows)).rejects.toEqual(foretokenError('INVALID_ARGUMENT', '2 heads', 'has 3'));
  const right = new PackedRows(setup.data, { rowLength: LENGTH, heads: 3 });
  await expect(evaluate(model, right, { batchSize: 1e9 })).rejects.toEqual(
    foretokenError('INVALID_ARGUMENT', 'evaluate: batchSize must be', '1048576', '1000000000'),
  );
  await expect(evaluate(model, right, { rows: -1 })).rejects.toEqual(
    foretokenError('INVALID_ARGUMENT', 'evaluate: rows must be an integer of at least 0, but is -1'),
  );
  await expect(evaluate(model, right, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
});
