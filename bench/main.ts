import { parseArgs } from 'node:util';
import { writeFileAtomic } from '../lib/files';
import { openDevice } from '../lib/tensor/device';
import type { DeviceName } from '../lib/tensor/device-options';
import { decodeAgainstPeers } from './decode-against-peers';
import { decodeStep } from './decode-step';
import { decodingByHeads } from './decoding-by-heads';
import { draftsFromText } from './drafts-from-text';
import { withUnit, type Bench, type Result } from './harness';
import { htmlReport } from './html';
import { hybridStep } from './hybrid-step';
import { linear } from './linear';
import { linearCrossEntropy } from './linear-cross-entropy';
import { lossAgainstPeers } from './loss-against-peers';
import { machine } from './machine';
import { manyTexts } from './many-texts';
import { proposeTokens } from './propose-tokens';
import { trainAgainstPeers } from './train-against-peers';
import { trainStep } from './train-step';
import { verifyTree } from './verify-tree';

/** `machine` always runs first, because the other results are fractions of its ceilings. */
const BENCHES: readonly Bench[] = [
  machine,
  linearCrossEntropy,
  lossAgainstPeers,
  linear,
  trainStep,
  trainAgainstPeers,
  decodeStep,
  hybridStep,
  verifyTree,
  proposeTokens,
  decodingByHeads,
  draftsFromText,
  manyTexts,
  decodeAgainstPeers,
];

const MODELS = '.foretoken/bench';

const USAGE = `Usage: npm run bench -- [NAME…] [--device cpu|cuda] [--dtype float32|bfloat16] [--json FILE]
                        [--html FILE] [--data DIR] [--models DIR] [--python FILE]
Names: ${BENCHES.map(({ name }) => name).join(', ')}. All of them by default.
--json and --html write the results to a file, --html with curves: loss by head, acceptance by depth, step time and speed by
tree size, peak memory by heads. Without --dtype, benches compute in bfloat16 if the device can, else in float32.
decoding-by-heads trains two models for minutes and keeps them and their checkpoints in the directory of --models
(${MODELS}). Run again, it resumes interrupted training and does not repeat finished training. --data is a directory
of source code to train on; without it, the declaration files that come with TypeScript are.
loss-against-peers and train-against-peers need a Python with PyTorch (python3, or --python); train-against-peers and
decode-against-peers use the packages that npm install --ignore-scripts installs in bench/peers.
Example: npm run bench -- linear-cross-entropy --json results.json`;

function line({ name, params, unit, median, spread, ceiling, fraction }: Result): string {
  const given = Object.entries(params)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
  const against = ceiling === null ? '' : `${fraction!.toFixed(2)} of ${withUnit(ceiling, unit)}`;
  const about = `± ${(100 * spread).toFixed(0)} %`;
  return `${name.padEnd(36)} ${given.padEnd(44)} ${withUnit(median, unit).padStart(15)} ${about.padStart(7)}  ${against}`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      html: { type: 'string' },
      device: { type: 'string', default: 'cpu' },
      dtype: { type: 'string' },
      data: { type: 'string' },
      models: { type: 'string', default: MODELS },
      python: { type: 'string', default: 'python3' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const unknown = positionals.filter((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown.length > 0) {
    console.error(`bench: there is no bench named ${unknown.join(', ')}\n${USAGE}`);
    return 2;
  }
  const chosen = BENCHES.filter(
    ({ name }) => name === 'machine' || positionals.length === 0 || positionals.includes(name),
  );
  using device = openDevice(values.device as DeviceName);
  const dtype = values.dtype ?? (device.computesIn('bfloat16') ? 'bfloat16' : 'float32');
  if (dtype !== 'float32' && dtype !== 'bfloat16') {
    console.error(`bench: --dtype must be float32 or bfloat16, but is ${dtype}`);
    return 2;
  }
  if (!device.computesIn(dtype)) {
    console.error(`bench: ${device.name} does not compute in ${dtype}`);
    return 2;
  }
  const description = `${device.description}, ${dtype}`;
  console.log(description);
  const results: Result[] = [];
  for (const bench of chosen) {
    const { data, models, python } = values;
    await bench.run({ device, dtype, data, models, python }, (result) => {
      results.push(result);
      console.log(line(result));
    });
  }
  if (values.json) await writeFileAtomic(values.json, `${JSON.stringify(results, null, 2)}\n`);
  if (values.html) await writeFileAtomic(values.html, htmlReport(description, results));
  return 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  },
);
