import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTokenizer } from '../../../lib/model/tokenizer';

interface Recorded {
  readonly models: Record<string, object>;
  readonly cases: {
    readonly name: string;
    readonly model: string;
    readonly parts: object;
    readonly texts: [text: string, ids: number[], decoded: string][];
  }[];
}

const { models, cases } = JSON.parse(
  readFileSync(join(__dirname, '../../fixtures/tokenizers.json'), 'utf8'),
) as Recorded;

describe('a tokenizer.json gives the ids and the text of the reference implementation, with', () => {
  it.each(cases.map((each) => [each.name, each] as const))('%s', (_, { model, parts, texts }) => {
    const tokenizer = createTokenizer({
      'tokenizer.json': JSON.stringify({ added_tokens: [], ...parts, model: models[model] }),
    });
    for (const [text, ids, decoded] of texts) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids]);
      expect([text, tokenizer.decode(ids)]).toEqual([text, decoded]);
    }
  });
});
