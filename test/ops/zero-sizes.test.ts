// Every operation with a dimension of 0 writes its output and its gradients, and takes no time for rows without elements,
// however many.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { noGrad } from '../../lib/tensor/autograd';
import type { Device } from '../../lib/tensor/device';
import { attention, treeAttention } from '../../lib/tensor/ops/attention/attention';
import { accumulate, add, concat, scale, silu, swiglu } from '../../lib/tensor/ops/layers/elementwise';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { kvAppend, kvCompact } from '../../lib/tensor/ops/attention/kv-cache';
import { linear, packWeight } from '../../lib/tensor/ops/linear/linear';
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
  linearCrossEntropyWithGrad,
} from '../../lib/tensor/ops/loss/linear-cross-entropy';
import { adamw, clipCoefficient, sumSquares } from '../../lib/tensor/ops/optimizer/optimizer';
import { reshape, rows, sliceColumns } from '../../lib/tensor/ops/layers/reshape';
import { addRmsNorm, rmsNorm } from '../../lib/tensor/ops/layers/rms-norm';
import { rope, ropeTable } from '../../lib/tensor/ops/layers/rope';
import { linearSample, sampleLogits, topK } from '../../lib/tensor/ops/sampling/sampling';
import { uploadTrees } from '../../lib/tensor/ops/attention/tree-rows';
import { plantTree, verifyTree } from '../../lib/tensor/ops/sampling/verify-tree';
import type { Tensor } from '../../lib/tensor/tensor';
import { bfloat16Targets, onDevice, targets } from '../support/devices';

/** A tensor that an operation returned or changed, or a leaf for its gradient, with the expected shape and contents. */
type Expected = readonly [tensor: Tensor, shape: readonly number[], contents: readonly number[]];

interface Outcome {
  results: Expected[];
  /** Gradients of the sum of the first result's elements times 1, 2, 3, …. */
  gradients?: Expected[];
}

/** Makes leaves with the contents 1, 2, 3, …, and tensors of given integers. */
interface Make {
  device: Device;
  /** In the type that the operation computes in. */
  floats: (...shape: number[]) => Tensor;
  /** Always float32: biases, weights of norms, statistics. */
  exact: (...shape: number[]) => Tensor;
  ints: (shape: number[], ...values: number[]) => Tensor;
}

type Case = readonly [title: string, run: (make: Make) => Outcome];

/** More rows than a loop could visit. */
const MANY = 2 ** 40;
const zeros = (count: number): number[] => new Array<number>(count).fill(0);
const size = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);
const empty = (tensor: Tensor, ...shape: number[]): Expected => [tensor, shape, []];

const shapes = [[0], [0, 3], [3, 0], [MANY, 0]];

/** Cases for operations of one input whose result has the input's shape. */
function unary(op: (x: Tensor) => Tensor): Case[] {
  return shapes.map((shape) => [
    `of [${shape.join(', ')}]`,
    ({ floats }) => {
      const x = floats(...shape);
      return { results: [empty(op(x), ...shape)], gradients: [empty(x, ...shape)] };
    },
  ]);
}

/** The same cases without gradients. */
function method(call: (x: Tensor) => Tensor): Case[] {
  return shapes.map((shape) => [
    `of [${shape.join(', ')}]`,
    ({ floats }) => ({ results: [empty(call(floats(...shape)), ...shape)] }),
  ]);
}

const heads = { heads: 2, kvHeads: 1, headDim: 2, scale: 1 };

const operations: Record<string, Case[]> = {
  accumulate: shapes.map((shape) => [
    `into [${shape.join(', ')}]`,
    ({ floats }) => {
      const out = floats(...shape);
      accumulate(out, floats(...shape));
      return { results: [empty(out, ...shape)] };
    },
  ]),
  add: unary((x) => add(x, x)),
  scale: unary((x) => scale(x, 2)),
  silu: unary(silu),
  swiglu: [
    [0, 4],
    [3, 0],
    [MANY, 0],
  ].map(([count, width]) => [
    `of ${count} rows of ${width}`,
    ({ floats }) => {
      const x = floats(count!, width!);
      return { results: [empty(swiglu(x), count!, width! / 2)], gradients: [empty(x, count!, width!)] };
    },
  ]),
  concat: [
    [
      'with no columns on the left',
      ({ floats }) => {
        const [a, b] = [floats(2, 0), floats(2, 2)];
        return {
          results: [[concat(a, b), [2, 2], [1, 2, 3, 4]]],
          gradients: [empty(a, 2, 0), [b, [2, 2], [1, 2, 3, 4]]],
        };
      },
    ],
    [
      'with no columns on the right',
      ({ floats }) => {
        const [a, b] = [floats(2, 2), floats(2, 0)];
        return {
          results: [[concat(a, b), [2, 2], [1, 2, 3, 4]]],
          gradients: [[a, [2, 2], [1, 2, 3, 4]], empty(b, 2, 0)],
        };
      },
    ],
    [
      'of no rows, and of no columns',
      ({ floats }) => {
        const [a, b, c] = [floats(0, 2), floats(0, 3), floats(MANY, 0)];
        return {
          results: [empty(concat(a, b), 0, 5), empty(concat(c, c), MANY, 0)],
          gradients: [empty(a, 0, 2)],
        };
      },
    ],
  ],
  sliceColumns: [
    ...[0, 1, 3].map<Case>((start) => [
      `no columns from ${start} on`,
      ({ floats }) => {
        const x = floats(2, 3);
        return { results: [empty(sliceColumns(x, start, 0), 2, 0)], gradients: [[x, [2, 3], zeros(6)]] };
      },
    ]),
    ...[0, 1].map<Case>((start) => [
      `two columns from ${start} on, none before or after`,
      ({ floats }) => {
        const x = floats(2, 3);
        return {
          results: [[sliceColumns(x, start, 2), [2, 2], [1, 2, 4, 5].map((value) => value + start)]],
          gradients: [[x, [2, 3], start === 0 ? [1, 2, 0, 3, 4, 0] : [0, 1, 2, 0, 3, 4]]],
        };
      },
    ]),
    [
      'of no rows, and of no columns',
      ({ floats }) => {
        const [x, y] = [floats(0, 3), floats(MANY, 0)];
        return {
          results: [empty(sliceColumns(x, 1, 2), 0, 2), empty(sliceColumns(y, 0, 0), MANY, 0)],
          gradients: [empty(x, 0, 3)],
        };
      },
    ],
  ],
  reshape: [
    [
      'to other empty dimensions',
      ({ floats }) => {
        const x = floats(0, 3);
        return { results: [empty(reshape(x, [5, 0, 2]), 5, 0, 2)], gradients: [empty(x, 0, 3)] };
      },
    ],
  ],
  rows: [
    [
      'none',
      ({ floats }) => {
        const x = floats(3, 2);
        return { results: [empty(rows(x, 1, 0), 0, 2)], gradients: [[x, [3, 2], zeros(6)]] };
      },
    ],
    [
      'without elements',
      ({ floats }) => {
        const x = floats(3, 0);
        return { results: [empty(rows(x, 1, 2), 2, 0)], gradients: [empty(x, 3, 0)] };
      },
    ],
  ],
  embedding: [
    [
      'of no tokens',
      ({ floats, ints }) => {
        const weight = floats(2, 3);
        return {
          results: [empty(embedding(ints([0]), weight), 0, 3)],
          gradients: [[weight, [2, 3], zeros(6)]],
        };
      },
    ],
    [
      'without columns, and from a table without rows',
      ({ floats, ints }) => {
        const weight = floats(2, 0);
        return {
          results: [
            empty(embedding(ints([3], 1, 0, 1), weight), 3, 0),
            empty(embedding(ints([0]), floats(0, 3)), 0, 3),
          ],
          gradients: [empty(weight, 2, 0)],
        };
      },
    ],
  ],
  linear: [
    [
      'of no rows',
      ({ exact, floats }) => {
        const [x, weight, bias] = [floats(0, 3), floats(2, 3), exact(2)];
        return {
          results: [empty(linear(x, weight, bias), 0, 2)],
          gradients: [empty(x, 0, 3), [weight, [2, 3], zeros(6)], [bias, [2], zeros(2)]],
        };
      },
    ],
    [
      'of no inputs is the bias',
      ({ exact, floats }) => {
        const [x, weight, bias] = [floats(3, 0), floats(2, 0), exact(2)];
        return {
          results: [
            [linear(x, weight, bias), [3, 2], [1, 2, 1, 2, 1, 2]],
            [linear(x, weight), [3, 2], zeros(6)],
          ],
          gradients: [empty(x, 3, 0), empty(weight, 2, 0), [bias, [2], [9, 12]]],
        };
      },
    ],
    [
      'of no outputs',
      ({ exact, floats }) => {
        const [x, weight, bias] = [floats(2, 3), floats(0, 3), exact(0)];
        return {
          results: [empty(linear(x, weight, bias), 2, 0)],
          gradients: [[x, [2, 3], zeros(6)], empty(weight, 0, 3), empty(bias, 0)],
        };
      },
    ],
    [
      'of nothing at all',
      ({ floats }) => {
        const [x, weight] = [floats(MANY, 0), floats(0, 0)];
        return {
          results: [empty(linear(x, weight), MANY, 0)],
          gradients: [empty(x, MANY, 0), empty(weight, 0, 0)],
        };
      },
    ],
  ],
  packWeight: [
    [
      'multiplies like the weight',
      ({ device, exact, floats }) => {
        const types = ([undefined, 'bfloat16', 'int8'] as const).filter(
          (type) => !type || device.packs(type),
        );
        return noGrad(() => ({
          results: types.flatMap((type) => [
            empty(linear(floats(0, 3), packWeight(floats(2, 3), type)), 0, 2),
            [linear(floats(3, 0), packWeight(floats(2, 0), type), exact(2)), [3, 2], [1, 2, 1, 2, 1, 2]],
            empty(linear(floats(2, 3), packWeight(floats(0, 3), type)), 2, 0),
          ]),
        }));
      },
    ],
  ],
  rmsNorm: [
    [0, 3],
    [3, 0],
    [MANY, 0],
  ].map(([count, dim]) => [
    `of ${count} rows of ${dim}`,
    ({ exact, floats }) => {
      const [x, weight] = [floats(count!, dim!), exact(dim!)];
      return {
        results: [empty(rmsNorm(x, weight, 1e-5), count!, dim!)],
        gradients: [empty(x, count!, dim!), [weight, [dim!], zeros(dim!)]],
      };
    },
  ]),
  addRmsNorm: [
    [0, 3],
    [3, 0],
    [MANY, 0],
  ].map(([count, dim]) => [
    `of ${count} rows of ${dim}`,
    ({ exact, floats }) => {
      const [x, residual, weight] = [floats(count!, dim!), floats(count!, dim!), exact(dim!)];
      const { out, sum } = addRmsNorm(x, residual, weight, 1e-5);
      return {
        results: [empty(out, count!, dim!), empty(sum, count!, dim!)],
        gradients: [empty(x, count!, dim!), empty(residual, count!, dim!), [weight, [dim!], zeros(dim!)]],
      };
    },
  ]),
  ropeTable: [
    ['of no positions', ({ device }) => ({ results: [empty(ropeTable(device, 0, 4, 1e4), 0, 4)] })],
  ],
  rope: [
    [
      'of no rows',
      ({ device, floats, ints }) => {
        const x = floats(0, 8);
        const out = rope(x, ints([0]), ropeTable(device, 3, 4, 1e4), { heads: 2, rotatedHeads: 1 });
        return { results: [empty(out, 0, 8)], gradients: [empty(x, 0, 8)] };
      },
    ],
    [
      'of heads without dimensions',
      ({ exact, floats, ints }) => {
        const x = floats(3, 0);
        const out = rope(x, ints([3], 0, 1, 2), exact(3, 0), { heads: 2, rotatedHeads: 1 });
        return { results: [empty(out, 3, 0)], gradients: [empty(x, 3, 0)] };
      },
    ],
    [
      'of no rotated heads',
      ({ device, floats, ints }) => {
        const x = floats(1, 4);
        const out = rope(x, ints([1], 1), ropeTable(device, 3, 4, 1e4), { heads: 1, rotatedHeads: 0 });
        return { results: [[out, [1, 4], [1, 2, 3, 4]]], gradients: [[x, [1, 4], [1, 2, 3, 4]]] };
      },
    ],
  ],
  attention: [
    [
      'of no rows',
      ({ floats, ints }) => {
        const qkv = floats(0, 8);
        return { results: [empty(attention(qkv, ints([0]), 3, heads), 0, 4)], gradients: [empty(qkv, 0, 8)] };
      },
    ],
  ],
  treeAttention: [
    [
      'of no rows',
      ({ device, floats }) => {
        const tree = uploadTrees(device, [{ parents: [], length: 2 }]);
        return {
          results: [empty(treeAttention(floats(1, 2, 1, 1, 4, 2), 0, floats(0, 8), tree, heads), 0, 4)],
        };
      },
    ],
  ],
  kvAppend: [
    [
      'of no rows changes nothing',
      ({ device, floats }) => {
        const cache = floats(1, 2, 1, 1, 2, 2);
        kvAppend(cache, 0, floats(0, 8), uploadTrees(device, [{ parents: [], length: 1 }]), 2);
        return { results: [[cache, [1, 2, 1, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]]] };
      },
    ],
  ],
  kvCompact: [
    [
      'of no rows changes nothing',
      ({ device, floats, ints }) => {
        const cache = floats(1, 2, 1, 1, 2, 2);
        const { rowOffsets, lengths } = uploadTrees(device, [{ parents: [], length: 1 }]);
        kvCompact(cache, rowOffsets, lengths, ints([1, 0]), ints([1], 0));
        return { results: [[cache, [1, 2, 1, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]]] };
      },
    ],
  ],
  linearCrossEntropy: [
    ...(['sum', 'mean', 'meanPerHead'] as const).map<Case>((reduction) => [
      `${reduction} over no rows`,
      ({ exact, floats, ints }) => {
        const [hidden, weight, bias] = [floats(0, 3), floats(5, 3), exact(5)];
        const options = {
          bias,
          reduction,
          heads: 2,
          outputs: ['nll', 'lse', 'entropy', 'argmax', 'rank'],
        } as const;
        const { loss, headLoss, headCount, ...perRow } = linearCrossEntropy(
          hidden,
          weight,
          ints([0]),
          options,
        );
        return {
          results: [
            [loss, [], [0]],
            [headLoss, [2], [0, 0]],
            [headCount, [2], [0, 0]],
            ...Object.values(perRow).map((each) => empty(each, 0)),
          ],
          gradients: [empty(hidden, 0, 3), [weight, [5, 3], zeros(15)], [bias, [5], zeros(5)]],
        };
      },
    ]),
  ],
  linearCrossEntropyWithGrad: [
    [
      'over no rows adds nothing',
      ({ exact, floats, ints }) => {
        const [weight, bias] = [exact(2, 3), exact(2)];
        const result = linearCrossEntropyWithGrad(floats(0, 3), weight, ints([0]), { bias });
        return {
          results: [
            [result.loss, [], [0]],
            empty(result.hiddenGrad, 0, 3),
            [weight.grad!, [2, 3], zeros(6)],
            [bias.grad!, [2], zeros(2)],
          ],
        };
      },
    ],
  ],
  linearCrossEntropyBackward: [
    [
      'over no rows adds nothing',
      ({ exact, floats, ints }) => {
        const [hidden, weight, bias] = [exact(0, 3), exact(2, 3), exact(2)];
        linearCrossEntropyBackward(floats(0, 3), floats(2, 3), ints([0]), exact(0), {
          hidden,
          weight,
          bias,
        });
        return { results: [empty(hidden, 0, 3), [weight, [2, 3], [1, 2, 3, 4, 5, 6]], [bias, [2], [1, 2]]] };
      },
    ],
  ],
  sumSquares: [['of nothing', ({ exact }) => ({ results: [[sumSquares(exact(0, 3)), [1], [0]]] })]],
  clipCoefficient: [
    [
      'of no buckets',
      ({ exact }) => {
        const { norm, coefficient } = clipCoefficient(exact(0), 1);
        return {
          results: [
            [norm, [1], [0]],
            [coefficient, [1], [1]],
          ],
        };
      },
    ],
  ],
  adamw: [
    [
      'of no parameters',
      ({ exact }) => {
        const [param, grad, m, v] = [exact(0), exact(0), exact(0), exact(0)];
        const numbers = { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0, step: 1 };
        adamw(param, grad, m, v, exact(1), numbers, exact(0).cast('bfloat16'));
        return { results: [empty(param, 0), empty(m, 0), empty(v, 0)] };
      },
    ],
  ],
  topK: [
    [0, 3, 2],
    [3, 0, 0],
    [2, 3, 0],
    [MANY, 0, 0],
  ].map(([count, columns, k]) => [
    `${k} of ${count} rows of ${columns}`,
    ({ exact }) => {
      const { indices, values } = topK(exact(count!, columns!), k!);
      return { results: [empty(indices, count!, k!), empty(values, count!, k!)] };
    },
  ]),
  linearSample: [
    [
      'of no rows',
      ({ floats, ints }) => ({
        results: [0, 1].map((temperature) =>
          empty(linearSample(floats(0, 3), floats(5, 3), { temperature, positions: ints([0]) }), 0),
        ),
      }),
    ],
    [
      'of no dimensions draws by the bias',
      ({ exact, floats }) => ({
        results: [[linearSample(floats(2, 0), floats(5, 0), { bias: exact(5) }), [2], [4, 4]]],
      }),
    ],
  ],
  sampleLogits: [
    [
      'of no rows',
      ({ exact, ints }) => ({
        results: [empty(sampleLogits(exact(0, 5), ints([0]), { topK: 2 }), 0)],
      }),
    ],
    [
      'with an empty history',
      ({ exact, ints }) => {
        const history = { tokens: [], promptLength: 0 };
        const drawn = sampleLogits(exact(1, 5), ints([1], 3), { repetitionPenalty: 2 }, history);
        return { results: [[drawn, [1], [4]]] };
      },
    ],
  ],
  uploadTrees: [
    [
      'none',
      ({ device }) => {
        const { rowOffsets, lengths, parents } = uploadTrees(device, []);
        return { results: [[rowOffsets, [1], [0]], empty(lengths, 0), empty(parents, 0)] };
      },
    ],
  ],
  plantTree: [
    [
      'without sequences',
      ({ ints }) => {
        const [roots, depths, ranks, lengths] = [ints([0]), ints([0]), ints([0]), ints([0])];
        const inputs = { roots, drafts: ints([0, 2, 3]), depths, ranks, rowOffsets: ints([1], 0), lengths };
        const { tokens, positions } = plantTree(inputs);
        return { results: [empty(tokens, 0), empty(positions, 0)] };
      },
    ],
    [
      'of roots alone',
      ({ ints }) => {
        const [roots, depths, ranks, lengths] = [ints([1], 7), ints([1], 0), ints([1], 0), ints([1], 4)];
        const inputs = {
          roots,
          drafts: ints([1, 0, 0]),
          depths,
          ranks,
          rowOffsets: ints([2], 0, 1),
          lengths,
        };
        const { tokens, positions } = plantTree(inputs);
        return {
          results: [
            [tokens, [1], [7]],
            [positions, [1], [4]],
          ],
        };
      },
    ],
  ],
  verifyTree: [
    ...[{}, { temperature: 1 }, { temperature: 1, topK: 2 }].flatMap((sampling): Case[] => [
      [
        `of no sequences with ${JSON.stringify(sampling)}`,
        ({ device, floats, ints }) => {
          const tree = uploadTrees(device, []);
          const inputs = { hidden: floats(0, 3), weight: floats(5, 3), tokens: ints([0]), tree, sampling };
          const { path, drawn, counts } = verifyTree({ ...inputs, maxDepth: 2 });
          return { results: [empty(path, 0, 3), empty(drawn, 0, 3), empty(counts, 0)] };
        },
      ],
      [
        `of a sequence without rows with ${JSON.stringify(sampling)}`,
        ({ device, floats, ints }) => {
          const tree = uploadTrees(device, [{ parents: [], length: 3 }]);
          const inputs = { hidden: floats(0, 3), weight: floats(5, 3), tokens: ints([0]), tree, sampling };
          const { path, drawn, counts } = verifyTree({ ...inputs, maxDepth: 1 });
          return {
            results: [
              [path, [1, 2], [-1, -1]],
              [drawn, [1, 2], [-1, -1]],
              [counts, [1], [0]],
            ],
          };
        },
      ],
    ]),
    [
      'of no dimensions draws by the bias',
      ({ device, exact, floats, ints }) => {
        const tree = uploadTrees(device, [{ parents: [-1], length: 3 }]);
        const inputs = {
          hidden: floats(1, 0),
          weight: floats(5, 0),
          bias: exact(5),
          tokens: ints([1], 2),
          tree,
        };
        const { drawn, counts } = verifyTree(inputs);
        return {
          results: [
            [drawn, [1, 1], [4]],
            [counts, [1], [1]],
          ],
        };
      },
    ],
  ],
};

/** Methods of tensors. */
const methods: Record<string, Case[]> = {
  fill: method((x) => x.fill(1)),
  copyFrom: method((x) => x.device.empty(x.shape, x.dtype).copyFrom(x)),
  cast: method((x) => x.cast('bfloat16')),
  detach: method((x) => x.detach()),
  view: [
    [
      'of nothing, after the last element',
      ({ floats }) => ({ results: [empty(floats(2, 3).view(6, [0, 5]), 0, 5)] }),
    ],
  ],
  write: [
    [
      'nothing',
      ({ exact }) => {
        const x = exact(0, 3);
        x.write(new Float32Array(0));
        return { results: [empty(x, 0, 3)] };
      },
    ],
  ],
};

/** Functions that the files of operations export beside operations. */
const helpers = [
  'fillSampling',
  'historyTokens',
  'needsHistory',
  'samplingArguments',
  'readPaths',
  'treeHandles',
];
/** Functions that run in the backward passes of operations in the table. */
const ofGradients = ['addBackward'];

test('every operation has an entry', () => {
  const folder = join(__dirname, '../../lib/tensor/ops');
  const exported = readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((file) => {
    if (!file.endsWith('.ts')) return [];
    const module = jest.requireActual<Record<string, unknown>>(join(folder, file));
    return Object.keys(module).filter((name) => typeof module[name] === 'function');
  });
  expect([...Object.keys(operations), ...helpers, ...ofGradients].sort()).toEqual(exported.sort());
});

const table = [...Object.entries(operations), ...Object.entries(methods)].flatMap(([name, cases]) =>
  cases.map(([title, run]) => [name, title, run] as const),
);

describe.each([
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
])('on %s in %s', (target, dtype) => {
  test.each(table)('%s: %s', async (_name, _title, run) => {
    await onDevice(target, async (device) => {
      const counted = (shape: readonly number[]): Tensor =>
        device.tensor(
          Float32Array.from({ length: size(shape) }, (_, i) => i + 1),
          shape,
        );
      const { results, gradients } = run({
        device,
        floats: (...shape) => counted(shape).cast(dtype).requireGrad(),
        exact: (...shape) => counted(shape).requireGrad(),
        ints: (shape, ...values) => device.tensor(Int32Array.from(values), shape),
      });
      const [first] = results[0]!;
      expect(first.node !== null).toBe(gradients !== undefined);
      if (gradients) first.backward(counted(first.shape));
      for (const [tensor, shape, contents] of results) await expectContents(tensor, shape, contents);
      for (const [leaf, shape, contents] of gradients ?? [])
        await expectContents(leaf.grad!, shape, contents);
    });
  });
});

async function expectContents(
  tensor: Tensor,
  shape: readonly number[],
  contents: readonly number[],
): Promise<void> {
  expect(tensor.shape).toEqual(shape);
  const exact = tensor.dtype === 'int32' ? tensor : tensor.cast('float32');
  expect(Array.from(await exact.data())).toEqual(contents);
}
