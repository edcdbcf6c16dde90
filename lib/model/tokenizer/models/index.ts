import { byType, type Fields } from '../fields';
import { BytePairs } from './byte-pairs';
import type { TokenModel } from './model';
import { Unigram } from './unigram';
import { WordLevel, WordPiece } from './words';

const MAKERS: Readonly<
  Record<'BPE' | 'Unigram' | 'WordLevel' | 'WordPiece', (fields: Fields) => TokenModel>
> = {
  BPE: (fields) => new BytePairs(fields),
  Unigram: (fields) => new Unigram(fields),
  WordLevel: (fields) => new WordLevel(fields),
  WordPiece: (fields) => new WordPiece(fields),
};

/** Makes the model that a tokenizer.json describes. */
export function tokenModelOf(fields: Fields): TokenModel {
  if (fields.has('type')) return byType(fields, MAKERS);
  // Files of early versions name no type.
  const isUnigram = Array.isArray(fields.raw('vocab'));
  return MAKERS[isUnigram ? 'Unigram' : fields.has('merges') ? 'BPE' : 'WordPiece'](fields);
}

export type { TokenModel } from './model';
