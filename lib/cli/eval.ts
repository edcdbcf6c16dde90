import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findModel, loadModel } from '../model/checkpoint';
import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import { PackedRows, prepareCorpus, splitHeldOut } from '../train/data';
import { evaluate, type Evaluation } from '../train/evaluate';
import { openCommandDevice } from './open-device';
import { UsageError, type Parsed } from './arguments';
import type { EVAL, EvalValues } from './eval-flags';
import { describeEvaluation } from './evaluation';

export async function evalCommand({ values, positionals }: Parsed<typeof EVAL.flags>): Promise<number> {
  const [directory, ...patterns] = positionals;
  if (directory === undefined) throw new UsageError("give a model's directory and the text to evaluate with");
  if (patterns.length === 0)
    throw new UsageError('give the text to evaluate with: files, directories or globs');
  using computing = openCommandDevice(values, { masters: false });
  const { device, dtype } = computing;
  const { model, tokenizer } = await loadModel(device, await findModel(directory), { dtype, masters: false });
  const temporary = values.cache ?? (await mkdtemp(join(tmpdir(), 'foretoken-')));
  try {
    const evaluation = await evaluateText(model, tokenizer, patterns, temporary, values);
    console.log(values.json ? JSON.stringify(evaluation) : describeEvaluation(evaluation));
  } finally {
    model.dispose();
    if (values.cache === undefined) await rm(temporary, { recursive: true, force: true });
  }
  return 0;
}

async function evaluateText(
  model: MtpModel,
  tokenizer: Tokenizer,
  patterns: readonly string[],
  cacheDirectory: string,
  values: EvalValues,
): Promise<Evaluation> {
  const { exclude, 'text-field': textField, 'held-out': heldOut, rows } = values;
  const file = await prepareCorpus({ patterns, exclude, textField, tokenizer, cacheDirectory });
  try {
    const packed = new PackedRows(file, {
      rowLength: values['sequence-length'] ?? Math.min(256, model.config.maxPositionEmbeddings),
      heads: model.numHeads,
      range: heldOut === undefined ? undefined : splitHeldOut(file.length, heldOut).heldOut,
    });
    return await evaluate(model, packed, { batchSize: values['batch-size'], rows, tokenizer });
  } finally {
    await file.close();
  }
}
