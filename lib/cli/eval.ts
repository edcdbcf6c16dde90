import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findModel, loadModel } from '../model/checkpoint';
import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import { PackedRows, prepareCorpus, splitHeldOut } from '../train/data';
import { evaluate, type Evaluation } from '../train/evaluate';
import { openCommandDevice } from './open-device';
import { DEVICE_FLAGS, JSON_FLAG, parseCommand, UsageError, type Flags, type Values } from './arguments';
import { describeEvaluation } from './evaluation';

const FLAGS = {
  'held-out': { type: 'number', value: 'X', help: 'only this part of the text, from its end (default: all)' },
  rows: { type: 'integer', value: 'N', help: 'only so many rows (default: all)' },
  'batch-size': { type: 'integer', value: 'N', help: 'rows at a time (default 8)' },
  'sequence-length': { type: 'integer', value: 'N', help: 'tokens in a row (default 256)' },
  exclude: { type: 'strings', value: 'GLOB', help: 'files to leave out; may be repeated' },
  'text-field': { type: 'string', value: 'NAME', help: 'field of JSON lines and arrays (default text)' },
  cache: { type: 'string', value: 'DIR', help: 'keep the tokenized text here' },
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} as const satisfies Flags;

const COMMAND = {
  name: 'eval',
  positionals: 'MODEL TEXT…',
  summary: 'Measures how well each head of a model, or of the newest checkpoint of a run, predicts text.',
  example: "foretoken eval runs/first 'docs/**/*.md' --held-out 0.05",
  flags: FLAGS,
};

export async function evalCommand(argv: readonly string[]): Promise<number> {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return 0;
  const { values, positionals } = parsed;
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
  values: Values<typeof FLAGS>,
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
