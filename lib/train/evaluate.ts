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

/** How well one head predicts. */
export interface HeadEvaluation {
  /** Which head, from 1. */
  readonly head: number;
  /** Tokens that it had to predict; with none, as in documents too short for the head, there is nothing to say of it. */
  readonly count: number;
  /** Mean of -log p(token), in nats; null without tokens. */
  readonly loss: number | null;
  /** exp(loss); null without tokens. */
  readonly perplexity: number | null;
  /** How often the token was its first guess; null without tokens. */
  readonly top1: number | null;
  /** How often the token was among its five first guesses; null without tokens. */
  readonly top5: number | null;
  /**
   * How often greedy decoding would accept its draft, measured on the text itself: head k's first guess at t agrees
   * with head 1's at t+k-1. Null for head 1, which verifies.
   */
  readonly acceptance: Acceptance | null;
}

/** How often a head's guess agrees with what head 1 says once it sees the text up to there; shares in 0 … 1. */
export interface Acceptance {
  /** Places that can be compared: t+k-1 and its token are in the same row and document. */
  readonly count: number;
  /** Heads 2 … k all agree; null without places. */
  readonly cumulative: number | null;
  /** Head k agrees where heads 2 … k-1 do; null where they never do. */
  readonly conditional: number | null;
}

/** What {@link evaluate} measures. */
export interface Evaluation {
  /** Of head 1, in nats for a token; null where it had no tokens to predict. */
  readonly loss: number | null;
  /** Of head 1: exp(loss); null without tokens. */
  readonly perplexity: number | null;
  /** Bits that head 1 needs for a byte of the text; null without tokens, or without a tokenizer, which knows the bytes. */
  readonly bitsPerByte: number | null;
  /** One for each head, head 1 first. */
  readonly heads: readonly HeadEvaluation[];
}

/** How {@link evaluate} goes about it. */
export interface EvaluateOptions {
  /** Rows at a time. Default 8. */
  readonly batchSize?: number;
  /** Rows in all, from the beginning. Default: all there are. */
  readonly rows?: number;
  /** Counts the bytes of the text; only `bitsPerByte` needs it. */
  readonly tokenizer?: Tokenizer;
  /** Looked at before every batch; when it is aborted, its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Told after every batch how many rows are done. */
  readonly onProgress?: (done: { rows: number; of: number }) => void;
}

const EVALUATE_OPTIONS: Schema<EvaluateOptions> = {
  batchSize: integer(1, MOST_ROWS),
  rows: integer(1),
  tokenizer: TOKENIZER,
  signal,
  onProgress: callback,
};

/**
 * Evaluates every head of a model on packed rows, which must have been made for as many heads.
 * @throws ForetokenError INVALID_ARGUMENT naming the option; DIVERGED where a head gives logits that are not numbers
 */
export async function evaluate(
  model: MtpModel,
  rows: PackedRows,
  given: EvaluateOptions = {},
): Promise<Evaluation> {
  check('evaluate: model', model, instance(MtpModel));
  check('evaluate: rows', rows, instance(PackedRows));
  const options = checkOptions('evaluate', given, EVALUATE_OPTIONS);
  const { batchSize = 8 } = options;
  const limit = Math.min(rows.length, options.rows ?? rows.length);
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

/** What one head says about each row; ignored rows hold 0, and -1 in argmax and rank. */
interface HeadResult {
  nll: Float32Array;
  argmax: Int32Array;
  rank: Int32Array;
}

async function forward(model: MtpModel, batch: PackedBatch, count: number): Promise<HeadResult[]> {
  const length = batch.tokens.length / count;
  model.table.reserve(length);
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

/** `part` of `whole`; null of nothing. */
const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);

/** What was seen of one head so far. */
class HeadTotals {
  count = 0;
  nll = 0;
  top1 = 0;
  top5 = 0;
  /** Places that can be compared with head 1. */
  compared = 0;
  /** Those where heads 2 … k all agree, and where heads 2 … k-1 do. */
  agreed = 0;
  reached = 0;

  constructor(readonly head: number) {}

  add({ nll, rank }: HeadResult, targets: Int32Array): void {
    for (let i = 0; i < targets.length; i++) {
      if (targets[i] === NO_TARGET) continue;
      if (!Number.isFinite(nll[i])) {
        const problem = `head ${this.head} gives logits that are not numbers (-log p of a token is ${nll[i]})`;
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
      // Head 1 must have seen the same text: token t+k is then in the row's next place and in the same document.
      if ((i % length) + k - 1 >= length || targets[k - 1]![i] === NO_TARGET) break;
      const totals = heads[k - 1]!;
      totals.compared += 1;
      if (agreed) totals.reached += 1;
      agreed &&= results[k - 1]!.argmax[i] === verifier[i + k - 1];
      if (agreed) totals.agreed += 1;
    }
  }
}

/** Counts the UTF-8 bytes of the tokens that head 1 predicts; special tokens have none. Rows must follow each other. */
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
      // Nobody predicts the first token of a document, but the following may be the rest of its character.
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
