import type { MtpModel } from '../model/model';
import { PackedRows, prepareCorpus, splitHeldOut, type CorpusOptions } from '../train/data';
import { evaluate, type Evaluation } from '../train/evaluate';
import { describeCorpus, StatusLine } from './status-line';
import { checkTexts, UsageError, type Parsed } from './arguments';
import { openCache } from './corpus-cache';
import type { EVAL, EvalValues } from './eval-flags';
import { describeEvaluation } from './evaluation';
import { openCommandDevice } from './open-device';
import { openCommandModel } from './open-model';
import { interruptible } from './signals';

export async function evalCommand({ values, positionals }: Parsed<typeof EVAL.flags>): Promise<number> {
  const [directory, ...patterns] = positionals;
  if (directory === undefined) throw new UsageError('give a model and the text to evaluate with');
  checkTexts(patterns, 'evaluate with');
  using computing = openCommandDevice(values, { masters: false });
  const { model, tokenizer } = await openCommandModel(computing, directory, { masters: false });
  using owned = model;
  let evaluation: Evaluation | undefined;
  const exitCode = await interruptible(async (signal) => {
    using cache = await openCache(values.cache);
    const corpus = {
      patterns,
      exclude: values.exclude,
      textField: values['text-field'],
      splitSpecialTokens: values['split-special-tokens'],
      tokenizer,
    };
    evaluation = await evaluateText(owned, { ...corpus, cacheDirectory: cache.path, signal }, values);
  });
  if (evaluation) console.log(values.json ? JSON.stringify(evaluation) : describeEvaluation(evaluation));
  // A signal that arrived after the evaluation has stopped nothing.
  return evaluation ? 0 : exitCode;
}

async function evaluateText(model: MtpModel, corpus: CorpusOptions, values: EvalValues): Promise<Evaluation> {
  const { 'held-out': heldOut, rows = 256, 'batch-size': batchSize } = values;
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
    return await evaluate(model, packed, {
      ...{ batchSize, rows, tokenizer, signal },
      onProgress: ({ rows: done, of }) => status.update(`evaluating: ${done} of ${of} rows`),
    });
  } finally {
    status.clear();
    await file.close();
  }
}
