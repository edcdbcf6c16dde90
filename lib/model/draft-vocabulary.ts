import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checker, type Checker } from '../check';
import { ForetokenError } from '../errors';
import { fileAccessError, isJsonObject, writeFileAtomic } from '../files';
import { parseJson } from '../json';
import type { Parameter, ParameterStore } from '../nn/parameters';
import { noGrad } from '../tensor/autograd';
import { embedding } from '../tensor/ops/layers/embedding';
import { packWeight } from '../tensor/ops/linear/linear';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** File of a model's directory that names the tokens that heads propose: {"token_ids": […]}. */
export const DRAFT_VOCABULARY_NAME = 'draft_vocabulary.json';

/** The checker of a draft vocabulary of some of the tokens. */
export function draftVocabulary(vocabSize: number): Checker<readonly number[] | Int32Array> {
  return checker(
    `one or more different tokens from 0 to ${vocabSize - 1}`,
    (value) => (Array.isArray(value) || value instanceof Int32Array) && areTokens(value, vocabSize),
  );
}

function areTokens(values: ArrayLike<unknown>, vocabSize: number): boolean {
  const tokens = new Set<unknown>(Array.from(values));
  const isToken = (token: unknown): boolean =>
    Number.isInteger(token) && (token as number) >= 0 && (token as number) < vocabSize;
  return tokens.size > 0 && tokens.size === values.length && [...tokens].every(isToken);
}

/** Writes the draft vocabulary of a model into its directory. */
export async function writeDraftVocabulary(directory: string, tokens: readonly number[]): Promise<void> {
  await writeFileAtomic(join(directory, DRAFT_VOCABULARY_NAME), `${JSON.stringify({ token_ids: tokens })}\n`);
}

/**
 * Reads the draft vocabulary of a model's directory.
 * @returns null if it has none
 * @throws FILE_ACCESS; CORRUPT_FILE if the file holds something else than tokens of the model
 */
export async function readDraftVocabulary(
  directory: string,
  vocabSize: number,
): Promise<readonly number[] | null> {
  const path = join(directory, DRAFT_VOCABULARY_NAME);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    // A model in one file has no directory.
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw fileAccessError('read', path, cause);
  });
  if (text === null) return null;
  const { allowed, fits } = draftVocabulary(vocabSize);
  const json = parsed(text);
  const tokens = isJsonObject(json) ? json.token_ids : undefined;
  if (!Array.isArray(tokens) || !fits(tokens)) {
    throw new ForetokenError('CORRUPT_FILE', `${path}: token_ids must be ${allowed}`);
  }
  return tokens as number[];
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** The rows of an unembedding that belong to some tokens, packed for products. */
export class DraftUnembedding implements Disposable {
  /** int32 [tokens], rising. */
  readonly ids: Tensor;
  /** [tokens, hiddenSize] */
  readonly weight: Tensor;
  /** Version of the parameters from which the rows come. */
  readonly version: number;

  constructor(store: ParameterStore, unembedding: Parameter, tokens: readonly number[]) {
    this.version = store.version;
    const [ids, weight] = scope(() =>
      noGrad(() => {
        const index = store.device.tensor(Int32Array.from(tokens));
        const rows = embedding(index, unembedding.operand, store.dtype);
        return [index, packWeight(rows, store.packedDtype ?? undefined)] as const;
      }),
    );
    this.ids = keep(ids);
    this.weight = keep(weight);
  }

  dispose(): void {
    this.ids.dispose();
    this.weight.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
