// `foretoken generate` when a text ends with an error.
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { byteTokenizerFiles, createTokenizer } from '../../lib/model/tokenizer';
import { openDevice } from '../../lib/tensor/device';
import { runCli } from '../support/cli';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();

/** Saves a small model whose embedding is NaN for all tokens, or for one. */
async function saveSpoiled(directory: string, token?: number): Promise<void> {
  const tokenizer = createTokenizer(byteTokenizerFiles());
  using device = openDevice('cpu', { threads: 1 });
  using model = new MtpModel(
    device,
    {
      ...{ vocabSize: tokenizer.vocabSize, hiddenSize: 16, numHiddenLayers: 1, numAttentionHeads: 2 },
      ...{ maxPositionEmbeddings: 64, tieWordEmbeddings: false, mtp: { kind: 'parallel', numHeads: 2 } },
    },
    { seed: 1 },
  );
  const { value } = model.parameters.parameters.find(({ parts }) => parts[0]!.name.includes('embed_tokens'))!;
  using rows = token === undefined ? value.detach() : value.view(token * 16, [1, 16]);
  rows.write(new Float32Array(rows.size).fill(NaN));
  model.parameters.changed();
  await saveModel(directory, model, tokenizer);
}

const MESSAGE = /^foretoken: .*no token can be drawn for position \d+: the logits are not numbers[^\n]*\n$/;

it('a model of NaN ends the command with 1 and one line, and without text', async () => {
  const directory = temporary.at('spoiled');
  await saveSpoiled(directory);
  for (const more of [[], ['--speculation', 'none'], ['--temperature', '1', '--top-k', '4']]) {
    const { code, stdout, stderr } = await runCli('generate', directory, '-p', 'abc', '-n', '8', ...more);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(MESSAGE);
    expect(stderr).toContain('for position 3:');
  }
});

it('writes the text so far, then the error', async () => {
  const directory = temporary.at('spoiled');
  await saveSpoiled(directory, 65);
  const argv = ['generate', directory, '-p', 'abc', '--logit-bias', '65=1000'];
  for (const speculation of ['none', 'chain', 'full:3']) {
    const { code, stdout, stderr } = await runCli(...argv, '--speculation', speculation);
    expect([code, stdout]).toEqual([1, 'A\n']);
    expect(stderr).toMatch(MESSAGE);
    expect(stderr).toContain('for position 4:');
  }
  const json = await runCli(...argv, '--json');
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({ text: 'A', tokens: [65] });
  expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: 'DIVERGED' } });
});
