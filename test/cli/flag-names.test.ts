import type { Flags } from '../../lib/cli/flags';
import { inFlags } from '../../lib/cli/flag-names';
import { ForetokenError, type ErrorCode } from '../../lib/errors';

const FLAGS = {
  'top-p': { type: 'number', help: '' },
  layers: { type: 'integer', option: 'numHiddenLayers', help: '' },
  'hidden-size': { type: 'integer', help: '' },
  'attention-heads': { type: 'integer', option: 'numAttentionHeads', help: '' },
  heads: { type: 'integer', option: 'mtp.numHeads', help: '' },
  rows: { type: 'integer', help: '' },
  threads: { type: 'integer', help: '' },
  speculation: { type: 'string', help: '' },
  'head-weights': { type: 'string', help: '' },
} as const satisfies Flags;

function translate(message: string, values: object, code: ErrorCode = 'INVALID_ARGUMENT'): string {
  const error = new ForetokenError(code, message);
  const translated = inFlags(error, FLAGS, values as Record<string, unknown>) as ForetokenError;
  expect(translated.code).toBe(code);
  return translated.message;
}

it.each<[string, object, string]>([
  ['generate: topP must be in 0 … 1, but is 7', { 'top-p': 7 }, '--top-p must be in 0 … 1, but is 7'],
  ['numHiddenLayers must be positive, but is 0', { layers: 0 }, '--layers must be positive, but is 0'],
  [
    'model: hiddenSize (256) divided by numAttentionHeads (3) must be even',
    { 'attention-heads': 3 },
    '--hidden-size (256) divided by --attention-heads (3) must be even',
  ],
  ['mtp.numHeads must be in 1 … 16, but is 99', { heads: 99 }, '--heads must be in 1 … 16, but is 99'],
  ['evaluate: rows must be at least 0, but is -1', { rows: -1 }, '--rows must be at least 0, but is -1'],
  [
    'Trainer.create: rows must be at least 0, but is -1',
    { rows: -1 },
    '--rows must be at least 0, but is -1',
  ],
  ['openDevice: cuda has no option threads', { threads: 2 }, 'cuda has no option --threads'],
  [
    'speculation: depth must be at most 3',
    { speculation: 'chain:9' },
    '--speculation: depth must be at most 3',
  ],
  [
    'head weights: steps must be 1 or more',
    { 'head-weights': 'ramp:0:0:1' },
    '--head-weights: steps must be 1 or more',
  ],
])('%s', (message, values, expected) => {
  expect(translate(message, values)).toBe(expected);
});

it.each<[string, object]>([
  ['generate: topP must be in 0 … 1, but is 7', {}],
  ['generate: topP must be in 0 … 1, but is 7', { 'top-p': 0.5 }],
  ['evaluate: the rows are for 3 heads, but the model has 4', { rows: 4, heads: 3 }],
  ['/data/rows: not a model', { rows: 4 }],
])('leaves unchanged: %s', (message, values) => {
  expect(translate(message, values)).toBe(message);
});

it('leaves errors of other kinds unchanged', () => {
  expect(translate('topP is gone', { 'top-p': 1 }, 'CORRUPT_FILE')).toBe('topP is gone');
  const error = new Error('topP');
  expect(inFlags(error, FLAGS, { 'top-p': 1 })).toBe(error);
});
