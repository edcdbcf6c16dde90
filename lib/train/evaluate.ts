import { ForetokenError } from '../errors';
import { uploadBatch, lossAllHeads } from './loss';
import { MtpModel } from '../model/model';
import { TOKENIZER, type Tokenizer } from '../model/tokenizer';
import { noGrad } from '../tensor/autograd';
import { NO_TARGET } from '../tensor/ops/loss/no-target';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { callback, check, checkOptions, instance, integer, signal, type Schema } from '../check';
import { MOST_ROWS, PackedRows, type PackedBatch } from './data';

/** The quality of one head's predictions. */
export interface HeadEvaluation {
  /** Number of the head, from 1. */
  readonly head: number;
  /** Tokens that the head had to predict; 0 if every document is too short for the head. */
  readonly count: number;
  /** Mean of -log p(token), in nats; null without tokens. */
  readonly loss: number | null;
  /** exp(loss); null without tokens. */
  readonly perplexity: number | null;
  /** Share of tokens that were the head's first guess; null without tokens. */
  readonly top1: number | null;
  /** Share of tokens among the head's first five guesses; null without tokens. */
  readonly top5: number | null;
  /**
   * How often greedy decoding would accept the head's draft, measured on the text itself: head k's first guess at t equals
   * head 1's at t+k-1. Null for head 1, which verifies.
   */
  readonly acceptance: Acceptance | null;
}

/** How often a head's guess equals that of head 1, which has seen more of the text; shares in 0 … 1. */
export interface Acceptance {
  /** Compared positions: t+k-1 and its target are in the same row and document. */
  readonly count: number;
  /** Share of positions where heads 2 … k all agree; null without positions. */
  readonly cumulative: number | null;
  /** The same share among the positions where heads 2 … k-1 agree; null if they never do. */
  readonly conditional: number | null;
}

/** Results of {@link evaluate}. */
export interface Evaluation {
  /** Loss of head 1 in nats per token; null without tokens. */
  readonly loss: number | null;
  /** exp(loss) of head 1; null without tokens. */
  readonly perplexity: number | null;
  /** Bits of head 1 per byte of text; null without tokens, or without a tokenizer to count the bytes. */
  readonly bitsPerByte: number | null;
  /** One for each head, head 1 first. */
  readonly heads: readonly HeadEvaluation[];
}

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  /** Rows of a batch. Default 8. */
  readonly batchSize?: number;
  /** Rows to evaluate, from the first; 0 for all. Default 0. */
  readonly rows?: number;
  /** Tokenizer of the text, needed for `bitsPerByte` alone. */
  readonly tokenizer?: Tokenizer;
  /** Checked before every batch; once it is aborted, its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called after every batch with the number of rows done. */
  readonly onProgress?: (done: { rows: number; of: number }) => void;
}

const EVALUATE_OPTIONS: Schema<EvaluateOptions> = {
  batchSize: integer(1, MOST_ROWS),
  rows: integer(0),
  tokenizer: TOKENIZER,
  signal,
  onProgress: callback,
};

/**
 * Evaluates every head of a model on packed rows with targets for as many heads.
 * @throws ForetokenError INVALID_ARGUMENT naming the option; DIVERGED if logits of a head are not numbers
 */
export async function evaluate(
  model: MtpModel,
  rows: PackedRows,
  given: EvaluateOptions = {},
): Promise<Evaluation> {
  check('evaluate: model', model, instance(MtpModel));
  check('evaluate: rows', rows, instance(PackedRows));
  const options = checkOptions('evaluate', given, EVALUATE_OPTIONS);
  const { batchSize = 8, rows: most = 0 } = options;
  const limit = most === 0 ? rows.length : Math.min(rows.length, most);
  if (rows.heads !== model.numHeads) {
    const problem = `the rows are for ${rows.heads} heads, but the model has ${model.numHeads}`;
    throw new ForetokenError('INVALID_ARGUMENT', `evaluate: ${problem}`);
  }
  const heads = Array.from({ length: model.numHeads }, (_, i) => new HeadTotals(i + 1));
  const bytes = options.tokenizer ? new ByteCounter(options.tokenizer) : null;
  for (let first = 0; first < limit; first += batchSize) {
    options.signal?.throwIfAborted();
    const count = Math.min(batchSize, limit - first);
    const batch = rows.batch(Array.from({ length: count }, (_, i) => first + i));
    const length = batch.tokens.length / count;
    const results = await forward(model, batch, count);
    results.forEach((result, i) => heads[i]!.add(result, batch.targets[i]!));
    compareWithHead1(heads, results, batch, length);
    bytes?.add(batch);
    options.onProgress?.({ rows: first + count, of: limit });
  }
  const [first] = heads;
  const { loss, perplexity } = first!.result();
  return {
    loss,
    perplexity,
    bitsPerByte: bytes && share(first!.nll / Math.LN2, bytes.finish()),
    heads: heads.map((head) => head.result()),
  };
}

/** Results of one head at each position; positions without a target hold 0, and -1 in argmax and rank. */
interface HeadResult {
  nll: Float32Array;
  argmax: Int32Array;
  rank: Int32Array;
}

async function forward(model: MtpModel, batch: PackedBatch, count: number): Promise<HeadResult[]> {
  const length = batch.tokens.length / count;
  model.tables.reserve(length);
  const losses = noGrad(() =>
    scope(() => {
      const onDevice = uploadBatch(model.device, { ...batch, batch: count, length }, model.heads);
      const weights = batch.targets.map(() => 1);
      return lossAllHeads(model, onDevice, { weights, outputs: ['nll', 'argmax', 'rank'] }).map((loss) => ({
        nll: loss!.nll!,
        argmax: loss!.argmax!,
        rank: loss!.rank!,
      }));
    }),
  );
  try {
    return await Promise.all(
      losses.map(async ({ nll, argmax, rank }) => ({
        nll: (await nll.data()) as Float32Array,
        argmax: (await argmax.data()) as Int32Array,
        rank: (await rank.data()) as Int32Array,
      })),
    );
  } finally {
    for (const tensor of losses.flatMap((loss): Tensor[] => Object.values(loss))) tensor.dispose();
  }
}

/** `part` / `whole`; null if `whole` is 0. */
const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);

/** Sums over the batches for one head. */
class HeadTotals {
  count = 0;
  nll = 0;
  top1 = 0;
  top5 = 0;
  /** Positions compared with head 1. */
  compared = 0;
  /** Compared positions where heads 2 … k agree, and where heads 2 … k-1 do. */
  agreed = 0;
  reached = 0;

  constructor(readonly head: number) {}

  add({ nll, rank }: HeadResult, targets: Int32Array): void {
    for (let i = 0; i < targets.length; i++) {
      if (targets[i] === NO_TARGET) continue;
      if (!Number.isFinite(nll[i])) {
        const problem = `head ${this.head} has logits that are not numbers (-log p of a token is ${nll[i]})`;
        throw new ForetokenError(
          'DIVERGED',
          `evaluate: ${problem}; the weights are damaged or training diverged`,
        );
      }
      this.count += 1;
      this.nll += nll[i]!;
      if (rank[i]! < 1) this.top1 += 1;
      if (rank[i]! < 5) this.top5 += 1;
    }
  }

  result(): HeadEvaluation {
    const loss = share(this.nll, this.count);
    return {
      head: this.head,
      count: this.count,
      loss,
      perplexity: loss === null ? null : Math.exp(loss),
      top1: share(this.top1, this.count),
      top5: share(this.top5, this.count),
      acceptance:
        this.head === 1
          ? null
          : {
              count: this.compared,
              cumulative: share(this.agreed, this.compared),
              conditional: share(this.agreed, this.reached),
            },
    };
  }
}

function compareWithHead1(
  heads: readonly HeadTotals[],
  results: readonly HeadResult[],
  { targets, tokens }: PackedBatch,
  length: number,
): void {
  const verifier = results[0]!.argmax;
  for (let i = 0; i < tokens.length; i++) {
    let agreed = true;
    for (let k = 2; k <= heads.length; k++) {
      // Head 1 must have seen the text up to t+k-1 in this row, and token t+k must be in the same document.
      if ((i % length) + k - 1 >= length || targets[k - 1]![i] === NO_TARGET) break;
      const totals = heads[k - 1]!;
      totals.compared += 1;
      if (agreed) totals.reached += 1;
      agreed &&= results[k - 1]!.argmax[i] === verifier[i + k - 1];
      if (agreed) totals.agreed += 1;
    }
  }
}

/** Counts the UTF-8 bytes of the tokens that head 1 predicts; special tokens have none. Rows must be consecutive. */
class ByteCounter {
  readonly #decoder;
  #bytes = 0;
  #fresh = true;

  constructor(tokenizer: Tokenizer) {
    this.#decoder = tokenizer.streamDecoder();
  }

  add({ tokens, targets }: PackedBatch): void {
    const next = targets[0]!;
    for (let i = 0; i < tokens.length; i++) {
      // No head predicts the first token of a document, but later tokens may complete its character.
      if (this.#fresh) this.#decoder.push([tokens[i]!]);
      this.#fresh = next[i] === NO_TARGET;
      this.#bytes += Buffer.byteLength(this.#fresh ? this.#decoder.flush() : this.#decoder.push([next[i]!]));
    }
  }

  finish(): number {
    this.#bytes += Buffer.byteLength(this.#decoder.flush());
    return this.#bytes;
  }
}
