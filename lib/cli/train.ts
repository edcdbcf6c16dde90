import { join } from 'node:path';
import { loadModel } from '../model/checkpoint';
import type { MtpModel } from '../model/model';
import { byteTokenizerFiles, createTokenizer, loadTokenizer, type Tokenizer } from '../model/tokenizer';
import type { ActivationDType } from '../native/binding';
import { prepareCorpus, type TokenFile } from '../train/data';
import { Progress } from '../train/progress';
import { Trainer, type RunResult } from '../train/trainer';
import { required, UsageError, type Parsed } from './arguments';
import { describeEvaluation, summarizeEvaluation } from './evaluation';
import { openCommandDevice, type Computing } from './open-device';
import { interruptible } from './signals';
import { checkModelFlags, modelOptions, trainingOptions, type TRAIN, type TrainValues } from './train-flags';

export async function trainCommand({ values, positionals }: Parsed<typeof TRAIN.flags>): Promise<number> {
  const output = required('output', values.output);
  if (positionals.length === 0)
    throw new UsageError('give the text to train on: files, directories or globs');
  checkModelFlags(values);
  const options = trainingOptions(values);
  using computing = openCommandDevice(values, { masters: true });
  // Nothing else can be trained in, as was made sure of.
  const dtype = computing.dtype as ActivationDType | undefined;
  const { model, tokenizer } = await startingPoint(computing, values);
  const data = await prepareCorpus({
    patterns: positionals,
    exclude: values.exclude,
    textField: values['text-field'],
    tokenizer,
    cacheDirectory: values.cache ?? join(output, 'corpus'),
  });
  try {
    using trainer = await Trainer.create({
      ...{ ...options, device: computing.device, dtype, tokenizer, data, output },
      model: model ?? modelOptions(values),
      resume: values.resume ? output : undefined,
    });
    return await run(trainer, options.steps, data, values);
  } finally {
    model?.dispose();
    await data.close();
  }
}

/** The model to go on with, if there is one, and the tokenizer. */
async function startingPoint(
  { device, dtype }: Computing,
  { model, tokenizer }: TrainValues,
): Promise<{ model?: MtpModel; tokenizer: Tokenizer }> {
  if (model !== undefined) return loadModel(device, model, { dtype });
  if (tokenizer !== undefined) return { tokenizer: await loadTokenizer(tokenizer) };
  return { tokenizer: createTokenizer(byteTokenizerFiles()) };
}

async function run(trainer: Trainer, steps: number, data: TokenFile, values: TrainValues): Promise<number> {
  const { model, step } = trainer;
  const progress = new Progress(steps, process.stderr, step);
  progress.note(
    `${model.parameters.size} parameters, ${model.numHeads} heads, ${model.device.name}; ` +
      `${data.length} tokens in ${data.documentCount} documents${step > 0 ? `; from step ${step} on` : ''}`,
  );
  let result: RunResult | undefined;
  const exitCode = await interruptible(async (signal) => {
    result = await trainer.run({
      signal,
      onStep: (done) => progress.update(done),
      onEvaluation: (evaluation, at) => progress.note(`step ${at}: ${summarizeEvaluation(evaluation)}`),
      onCheckpoint: (path) => progress.note(`saved ${path}`),
    });
    progress.finish();
  });
  const { completed, checkpoint, evaluation } = result!;
  if (values.json) {
    console.log(JSON.stringify({ ...result, tokens: trainer.tokens }));
  } else if (completed) {
    if (evaluation) console.log(describeEvaluation(evaluation));
    console.log(`trained ${steps} steps: ${checkpoint}`);
  } else {
    console.log(`stopped after step ${trainer.step}: ${checkpoint ?? 'nothing saved'}; go on with --resume`);
  }
  // A signal that came when all was done has stopped nothing.
  return completed ? 0 : exitCode;
}
