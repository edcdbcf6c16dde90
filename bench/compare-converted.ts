// Converts small random models of every family with llama.cpp's convert_hf_to_gguf.py, and compares what is read from its files with
// what is read from the directories: logits, config, tokenizer, chat template and the tokens that end a text.
//
//   npm install --ignore-scripts            # in bench/peers: llama.cpp's source
//   node --require ./scripts/typescript-hook.js bench/compare-converted.ts [PYTHON]
//
// PYTHON (python3) needs numpy, torch, tqdm and yaml.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { saveModel } from '../lib/model/checkpoint';
import { loadModel, type LoadedModel } from '../lib/model/load';
import { createTokenizer, type Tokenizer } from '../lib/model/tokenizer';
import { openDevice } from '../lib/tensor/device';
import { byteFallback, byteLevelPairs } from '../test/model/tokenizer/examples';
import { FAMILY_MODELS, logitsOf, PROMPT, randomModel } from '../test/support/family-models';
import { PEERS, unpackLlamaCpp } from './llama-cpp';

const TEXT = 'hello wé 😀 ab  ba, 3 times<|endoftext|></s>\n ab';
const chat_template = '{{ messages[0].content }}';

/** Makes a tokenizer from tokenizer.json; `config` is the rest of tokenizer_config.json. */
function tokenizerOf(json: object, config: object): Tokenizer {
  return createTokenizer({
    'tokenizer.json': JSON.stringify(json),
    'tokenizer_config.json': JSON.stringify({ ...config, chat_template }),
  });
}

const words = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const BYTE_LEVEL = tokenizerOf(
  { ...byteLevelPairs(), pre_tokenizer: words },
  { tokenizer_class: 'GPT2Tokenizer', bos_token: '<|endoftext|>', eos_token: '<|endoftext|>' },
);
const SENTENCE_PIECE = tokenizerOf(byteFallback(), {
  ...{ tokenizer_class: 'LlamaTokenizer', bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' },
});

const CASES = Object.entries(FAMILY_MODELS).map(([name, options]) => ({
  name,
  options,
  tokenizer: BYTE_LEVEL,
}));
CASES.push({ name: 'llama, SentencePiece', options: FAMILY_MODELS.llama!, tokenizer: SENTENCE_PIECE });

/** Everything but the weights, as far as a file has it. */
function contents({ model, tokenizer }: LoadedModel): Record<string, unknown> {
  // Mistral without a window is Llama, and files do not say how weights begin.
  const { modelType, initializerRange, ...config } = model.config;
  const files = JSON.parse(tokenizer.files['tokenizer_config.json']!) as { chat_template: unknown };
  const { vocabSize, bosId, eosId } = tokenizer;
  const ids = tokenizer.encode(TEXT);
  return {
    ...config,
    template: files.chat_template,
    vocabSize,
    bosId,
    eosId,
    ids,
    text: tokenizer.decode(ids),
  };
}

async function main(python = 'python3'): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'foretoken-converted-'));
  using device = openDevice('cpu', { threads: 1 });
  try {
    const source = unpackLlamaCpp(directory);
    for (const { name, options, tokenizer } of CASES) {
      const [path, file] = [join(directory, name), join(directory, `${name}.gguf`)];
      const { vocabSize, bosId: bosTokenId, eosId } = tokenizer;
      using made = await randomModel(device, { ...options, vocabSize, bosTokenId, eosTokenIds: [eosId!] });
      await saveModel(path, made, tokenizer);
      const script = [join(PEERS, 'convert.py'), source, path, '--outfile', file, '--outtype', 'f32'];
      execFileSync(python, script, { stdio: ['ignore', 'ignore', 'pipe'] });
      const [ours, theirs] = [await loadModel(device, path), await loadModel(device, file)];
      using model = ours.model;
      using converted = theirs.model;
      const logits = await logitsOf(model, PROMPT);
      const others = await logitsOf(converted, PROMPT);
      const difference = logits.reduce((most, each, i) => Math.max(most, Math.abs(each - others[i]!)), 0);
      const [expected, found] = [contents(ours), contents(theirs)];
      const different = Object.keys(expected).filter((key) => !isDeepStrictEqual(expected[key], found[key]));
      console.log(
        `${name}: logits differ by ${difference}; ${different.length > 0 ? different.join(', ') : 'nothing'} else`,
      );
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

void main(process.argv[2]);
