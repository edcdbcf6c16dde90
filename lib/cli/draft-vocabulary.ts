import { ForetokenError } from '../errors';
import { locateModel } from '../hub/locate';
import { findModel } from '../model/checkpoint';
import { writeDraftVocabulary } from '../model/draft-vocabulary';
import { isGguf } from '../model/gguf';
import { loadTokenizer } from '../model/tokenizer';
import { prepareCorpus, type CorpusOptions } from '../train/data';
import { frequentTokens, type FrequentTokens } from '../train/data/frequent-tokens';
import { checkTexts, UsageError, type Parsed } from './arguments';
import { openCache } from './corpus-cache';
import type { DRAFT_VOCABULARY } from './draft-vocabulary-flags';
import { interruptible } from './signals';
import { describeCorpus, StatusLine } from './status-line';

const SIZE = 32_768;

export async function draftVocabularyCommand({
  values,
  positionals,
}: Parsed<typeof DRAFT_VOCABULARY.flags>): Promise<number> {
  const [path, ...patterns] = positionals;
  if (path === undefined) throw new UsageError("give a model's directory and the text to count tokens in");
  checkTexts(patterns, 'count tokens in');
  const { size = SIZE } = values;
  if (size < 1) throw new UsageError(`--size must be an integer from 1 on, but is ${size}`);
  const directory = await findModel(await locateModel(path));
  if (await isGguf(directory)) {
    const problem = 'a GGUF file has no place for a draft vocabulary; save the model in a directory';
    throw new ForetokenError('UNSUPPORTED', `${directory}: ${problem}`);
  }
  const tokenizer = await loadTokenizer(directory);
  let found: FrequentTokens | undefined;
  const exitCode = await interruptible(async (signal) => {
    using cache = await openCache(values.cache);
    const corpus = { patterns, exclude: values.exclude, textField: values['text-field'], tokenizer };
    const counted = await count({ ...corpus, cacheDirectory: cache.path, signal }, size);
    await writeDraftVocabulary(
      directory,
      [...counted.tokens].sort((a, b) => a - b),
    );
    found = counted;
  });
  if (!found) return exitCode;
  const { tokens, share } = found;
  const result = { directory, tokens: tokens.length, of: tokenizer.vocabSize, share };
  const percent = (100 * share).toFixed(1);
  console.log(
    values.json
      ? JSON.stringify(result)
      : `${directory}: heads propose ${tokens.length} of ${tokenizer.vocabSize} tokens, ${percent} % of the text`,
  );
  return 0;
}

async function count(corpus: CorpusOptions, size: number): Promise<FrequentTokens> {
  const status = new StatusLine(process.stderr);
  const file = await prepareCorpus({
    ...corpus,
    onProgress: (progress) => status.update(describeCorpus(progress)),
  }).finally(() => status.clear());
  try {
    return frequentTokens(file, size);
  } finally {
    await file.close();
  }
}
