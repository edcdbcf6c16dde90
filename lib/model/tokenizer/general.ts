import { ForetokenError } from '../../errors';
import {
  idsWithText,
  type DecodeOptions,
  type EncodeOptions,
  type StreamDecodeOptions,
  type StreamDecoder,
  type Tokenizer,
  type TokenizerFiles,
} from './interface';
import { joinIds } from './join-ids';
import type { Pipeline } from './pipeline';
import { TEXT, type TextTemplate } from './post-processors';

const JUST_TEXT: TextTemplate = [TEXT];
/** Ids of one piece, which take a few milliseconds. */
const IDS_AT_ONCE = 1 << 12;

/** Runs any tokenizer.json. */
export class GeneralTokenizer implements Tokenizer {
  readonly vocabSize: number;

  /** @param template the special tokens around a text, if not those of the pipeline */
  constructor(
    private readonly pipeline: Pipeline,
    readonly files: TokenizerFiles,
    readonly bosId: number | undefined,
    readonly eosId: number | undefined,
    private readonly template: TextTemplate = pipeline.template,
  ) {
    this.vocabSize = pipeline.tokens.length;
  }

  encode(text: string, options?: EncodeOptions): Int32Array {
    return joinIds([...this.encodeInPieces(text, options)]);
  }

  *encodeInPieces(
    text: string,
    { addSpecialTokens = true, splitSpecialTokens = false }: EncodeOptions = {},
  ): Generator<Int32Array, void, undefined> {
    for (const part of addSpecialTokens ? this.template : JUST_TEXT) {
      if (part === TEXT) yield* this.#encodeText(text, splitSpecialTokens);
      else yield Int32Array.of(part);
    }
  }

  *#encodeText(text: string, splitSpecialTokens: boolean): Generator<Int32Array, void, undefined> {
    const { added, preTokenize, model } = this.pipeline;
    let ids: number[] = [];
    try {
      for (const section of added.split(text, splitSpecialTokens)) {
        if ('id' in section) {
          ids.push(section.id);
          continue;
        }
        for (const word of preTokenize(section.text, section.atStart)) {
          for (const piece of model.encode(word)) {
            for (const id of piece) ids.push(id);
            // An empty piece asks for a pause.
            if (ids.length < IDS_AT_ONCE && piece.length > 0) continue;
            yield Int32Array.from(ids);
            ids = [];
          }
        }
      }
    } catch (cause) {
      throw new ForetokenError('INVALID_CONFIG', `tokenizer.json: ${(cause as Error).message}`, { cause });
    }
    yield Int32Array.from(ids);
  }

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    const decoder = this.streamDecoder(options);
    return decoder.push(ids) + decoder.flush();
  }

  streamDecoder({ skipSpecialTokens = true, after = [] }: StreamDecodeOptions = {}): StreamDecoder {
    const { tokens, specialIds, decoder: make } = this.pipeline;
    const hasText = (id: number): boolean =>
      tokens[id] !== undefined && !(skipSpecialTokens && specialIds.has(id));
    let decoder = make();
    const push = (ids: Iterable<number>): string => {
      let text = '';
      for (const id of idsWithText(ids, hasText)) text += decoder.push(tokens[id]!).join('');
      return text;
    };
    push(after);
    return {
      push,
      flush: () => {
        const text = decoder.end().join('');
        decoder = make();
        return text;
      },
    };
  }
}
