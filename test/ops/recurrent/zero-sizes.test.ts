import { native } from '../../../lib/native/load';
import { commitRecurrent } from '../../../lib/tensor/ops/recurrent/commit-recurrent';
import { gatedDelta } from '../../../lib/tensor/ops/recurrent/gated-delta';
import { shortConvolution } from '../../../lib/tensor/ops/recurrent/short-convolution';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import { RecurrentStates } from '../../../lib/tensor/recurrent-states';
import { Tensor } from '../../../lib/tensor/tensor';
import { channelsOf } from '../../support/recurrent';
import { empty, testFamily, type Cases, type Make } from '../../support/zero-sizes';

const shape = { keyHeads: 1, valueHeads: 1, keyDim: 16, valueDim: 16, taps: 2 };
const channels = channelsOf(shape);
const FLOATS = 16 * 16 + channels;

/** States of one sequence, which hold 1, 2, 3, …, and its block. */
function filledStates({ device, exact }: Make): { states: RecurrentStates; block: Tensor } {
  const states = new RecurrentStates(device, { ...shape, layers: 1, sequences: 1 });
  states.reserve(0);
  const block = new Tensor(device, native.recurrentBlock(states.handle, 0));
  return { states, block: block.copyFrom(exact(1, FLOATS)) };
}

const counted = Array.from({ length: FLOATS }, (_, i) => i + 1);

const deltaOf = ({ floats, exact }: Make) => ({
  ...{ qkv: floats(0, channels), a: floats(0, 1), b: floats(0, 1) },
  ...{ decay: exact(1), bias: exact(1) },
});

const nothing = (make: Make) => uploadTrees(make.device, [{ parents: [], length: 0 }]);

const operations: Cases = {
  shortConvolution: [
    [
      'of no rows',
      (make) => {
        const { states } = filledStates(make);
        const [x, weight] = [make.floats(0, channels), make.exact(channels, 2)];
        return { results: [empty(shortConvolution(states, 0, x, weight, nothing(make)), 0, channels)] };
      },
    ],
  ],
  gatedDelta: [
    [
      'of no rows',
      (make) => {
        const { states } = filledStates(make);
        return { results: [empty(gatedDelta(states, 0, deltaOf(make), nothing(make)), 0, 16)] };
      },
    ],
  ],
  commitRecurrent: [
    [
      'of no rows changes nothing',
      (make) => {
        const { states, block } = filledStates(make);
        const inputs = { x: make.floats(0, channels), ...deltaOf(make) };
        const { rowOffsets } = nothing(make);
        commitRecurrent(states, 0, inputs, rowOffsets, make.ints([1, 0]), make.ints([1], 0));
        return { results: [[block, [1, FLOATS], counted]] };
      },
    ],
  ],
};

testFamily('recurrent', operations, ['statesHandle']);
