import {
  accumulate,
  add,
  concat,
  scale,
  sigmoidGate,
  silu,
} from '../../../lib/tensor/ops/layers/elementwise';
import { embedding } from '../../../lib/tensor/ops/layers/embedding';
import { glu } from '../../../lib/tensor/ops/layers/glu';
import { reshape, rows, sliceColumns } from '../../../lib/tensor/ops/layers/reshape';
import { addRmsNorm, gatedRmsNorm, rmsNorm } from '../../../lib/tensor/ops/layers/rms-norm';
import { rope, ropeTable } from '../../../lib/tensor/ops/layers/rope';
import type { Tensor } from '../../../lib/tensor/tensor';
import { empty, everyShape, MANY, testFamily, zeros, type Case, type Cases } from '../../support/zero-sizes';

/** Cases for operations of one input whose result has the input's shape. */
function unary(op: (x: Tensor) => Tensor): Case[] {
  return everyShape(({ floats }, shape) => {
    const x = floats(...shape);
    return { results: [empty(op(x), ...shape)], gradients: [empty(x, ...shape)] };
  });
}

const angles = { frequencies: [1, 0.01] };

const operations: Cases = {
  accumulate: everyShape(({ floats }, shape) => {
    const out = floats(...shape);
    accumulate(out, floats(...shape));
    return { results: [empty(out, ...shape)] };
  }),
  add: unary((x) => add(x, x)),
  scale: unary((x) => scale(x, 2)),
  silu: unary(silu),
  sigmoidGate: everyShape(({ floats }, shape) => ({
    results: [empty(sigmoidGate(floats(...shape), floats(...shape)), ...shape)],
  })),
  glu: [
    [0, 4],
    [3, 0],
    [MANY, 0],
  ].map(([count, width]) => [
    `of ${count} rows of ${width}`,
    ({ floats }) => {
      const x = floats(count!, width!);
      return {
        results: [empty(glu(x, 'gelu_tanh'), count!, width! / 2)],
        gradients: [empty(x, count!, width!)],
      };
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
  gatedRmsNorm: [
    [0, 6, 3],
    [3, 0, 3],
    [MANY, 0, 3],
    [3, 0, 0],
  ].map(([count, width, dim]) => [
    `of ${count} rows of ${width} in heads of ${dim}`,
    ({ exact, floats }) => {
      const [x, gate] = [floats(count!, width!), floats(count!, width!)];
      return { results: [empty(gatedRmsNorm(x, gate, exact(dim!), 1e-5), count!, width!)] };
    },
  ]),
  ropeTable: [
    ['of no positions', ({ device }) => ({ results: [empty(ropeTable(device, 0, angles), 0, 4)] })],
  ],
  rope: [
    [
      'of no rows',
      ({ device, floats, ints }) => {
        const x = floats(0, 8);
        const out = rope(x, ints([0]), ropeTable(device, 3, angles), { heads: 2, rotatedHeads: 1 });
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
      'of no rotated dimensions',
      ({ exact, floats, ints }) => {
        const x = floats(1, 4);
        const out = rope(x, ints([1], 1), exact(3, 0), { heads: 1, rotatedHeads: 1 });
        return { results: [[out, [1, 4], [1, 2, 3, 4]]], gradients: [[x, [1, 4], [1, 2, 3, 4]]] };
      },
    ],
    [
      'of no rotated heads',
      ({ device, floats, ints }) => {
        const x = floats(1, 4);
        const out = rope(x, ints([1], 1), ropeTable(device, 3, angles), { heads: 1, rotatedHeads: 0 });
        return { results: [[out, [1, 4], [1, 2, 3, 4]]], gradients: [[x, [1, 4], [1, 2, 3, 4]]] };
      },
    ],
  ],
};

testFamily('layers', operations, ['addBackward']);
