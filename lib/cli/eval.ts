import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findModel, loadModel } from '../model/checkpoint';
import type { MtpModel } from '../model/model';
import { PackedRows, prepareCorpus, splitHeldOut, type CorpusOptions } from '../train/data';
import { evaluate, type Evaluation } from '../train/evaluate';
import { describeCorpus, StatusLine } from '../train/status-line';
import { openCommandDevice } from './open-device';
import { UsageError, type Parsed } from './arguments';
import type { EVAL, EvalValues } from './eval-flags';
import { describeEvaluation } from './evaluation';
import { interruptible } from './signals';

export async function evalCommand({ values, positionals }: Parsed<typeof EVAL.flags>): Promise<number> {
  const [directory, ...patterns] = positionals;
  if (directory === undefined) throw new UsageError("give a model's directory and the text to evaluate with");
  if (patterns.length === 0)
    throw new UsageError('give the text to evaluate with: files, directories or globs');
  using computing = openCommandDevice(values, { masters: false });
  const { device, dtype } = computing;
  const { model, tokenizer } = await loadModel(device, await findModel(directory), { dtype, masters: false });
  using owned = model;
  return await interruptible(async (signal) => {
    const temporary = values.cache ?? (await mkdtemp(join(tmpdir(), 'foretoken-')));
    const corpus = { patterns, exclude: values.exclude, textField: values['text-field'], tokenizer };
    try {
      const evaluation = await evaluateText(owned, { ...corpus, cacheDirectory: temporary, signal }, values);
      console.log(values.json ? JSON.stringify(evaluation) : describeEvaluation(evaluation));
    } finally {
      if (values.cache === undefined) await rm(temporary, { recursive: true, force: true });
    }
  });
}

async function evaluateText(model: MtpModel, corpus: CorpusOptions, values: EvalValues): Promise<Evaluation> {
  const { 'held-out': heldOut, rows, 'batch-size': batchSize } = values;
  const { tokenizer, signal } = corpus;
  const status = new StatusLine(process.stderr);
  const file = await prepareCorpus({
    ...corpus,
    onProgress: (progress) => status.update(describeCorpus(progress)),
  });
  try {
    const packed = new PackedRows(file, {
      rowLength: values['sequence-length'] ?? Math.min(256, model.config.maxPositionEmbeddings),
      heads: model.numHeads,
      range: heldOut === undefined ? undefined : splitHeldOut(file.length, heldOut).heldOut,
    });
    return await evaluate(model, packed, { batchSize, rows, tokenizer, signal });
  } finally {
    status.clear();
    await file.close();
  }
}
