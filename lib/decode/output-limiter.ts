import type { MtpModel } from '../model/model';
import type { StreamDecoder, Tokenizer } from '../model/tokenizer';
import type { FinishReason } from './generate-stats';
import type { GenerateOptions } from './options';
import { StopStrings } from './stop-strings';

/** The part of a text that one step adds. */
export interface GeneratedPiece {
  /** Whole characters only; empty while a character is incomplete or a stop string may have begun. */
  text: string;
  /** The token ids, up to and including the one that ends the text. */
  tokens: number[];
  /** How many of the tokens are accepted drafts: in most steps all except the last. */
  accepted: number;
}

export interface OutputLimits {
  model: MtpModel;
  tokenizer: Tokenizer;
  /** Tokens that the text continues. */
  after: Iterable<number>;
  maxTokens: number;
  options: Pick<GenerateOptions, 'stop' | 'ignoreEos'>;
}

/** Converts committed tokens to text and ends the text: a step may commit tokens beyond its end. */
export class OutputLimiter {
  /** Null while the text goes on. */
  finishReason: FinishReason | null = null;
  #left: number;
  readonly #detokenizer: StreamDecoder;
  readonly #stops: StopStrings;
  readonly #endTokens: ReadonlySet<number>;

  constructor({ model, tokenizer, after, maxTokens, options }: OutputLimits) {
    this.#left = maxTokens;
    this.#detokenizer = tokenizer.streamDecoder({ after });
    this.#stops = new StopStrings(options.stop);
    const ends = [...model.config.eosTokenIds, ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId])];
    this.#endTokens = new Set(options.ignoreEos ? [] : ends);
    if (maxTokens === 0) this.finishReason = 'length';
  }

  /** Most tokens that the text may still get. */
  get tokensLeft(): number {
    return this.#left;
  }

  /** Adds the tokens of one step, up to the end of the text. */
  take(committed: Int32Array): GeneratedPiece {
    const tokens: number[] = [];
    let text = '';
    for (const token of committed) {
      tokens.push(token);
      this.#left--;
      const isEnd = this.#endTokens.has(token);
      if (isEnd) this.finishReason = 'eos';
      const shown = this.#stops.push(isEnd ? '' : this.#detokenizer.push([token]));
      text += shown.text;
      if (shown.stopped) this.finishReason = 'stop';
      else if (!this.finishReason && this.#left === 0) this.finishReason = 'length';
      if (this.finishReason) break;
    }
    if (this.finishReason && this.finishReason !== 'stop') text += this.#rest();
    return { text, tokens, accepted: Math.min(tokens.length, committed.length - 1) };
  }

  /** Returns the text that the detokenizer and the stop strings still hold back. */
  #rest(): string {
    const shown = this.#stops.push(this.#detokenizer.flush());
    if (shown.stopped) this.finishReason = 'stop';
    return shown.stopped ? shown.text : shown.text + this.#stops.flush();
  }
}
