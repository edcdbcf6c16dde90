import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import { acceptedRows, chainTokens } from '../../../lib/tensor/ops/sampling/accepted-rows';
import { proposeTokens } from '../../../lib/tensor/ops/sampling/propose-tokens';
import { linearSample, sampleLogits, topK } from '../../../lib/tensor/ops/sampling/sampling';
import { verifyTree } from '../../../lib/tensor/ops/sampling/verify-tree';
import { empty, MANY, testFamily, type Case, type Cases } from '../../support/zero-sizes';

const operations: Cases = {
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
  proposeTokens: [
    [0, 5, 2],
    [3, 5, 0],
  ].map(([count, vocab, k]) => [
    `${k} of ${count} rows of ${vocab}`,
    ({ exact, ints }) => {
      const positions = ints([count!], ...new Array<number>(count!).fill(7));
      const all = proposeTokens(exact(count!, vocab!), { positions, k: k! });
      const ids = ints([vocab!], 0, 2, 4, 6, 8);
      const some = proposeTokens(exact(count!, vocab!), { positions, k: k!, ids });
      return {
        results: [all, some].flatMap(({ tokens, weights }) => [
          empty(tokens, count!, k!),
          empty(weights, count!, k!),
        ]),
      };
    },
  ]),
  acceptedRows: [
    [
      'of no sequences',
      ({ ints }) => {
        const [counts, lengths, open] = [ints([0]), ints([0]), ints([0])];
        const inputs = { path: ints([0, 3]), counts, drawn: ints([0, 3]), lengths, open };
        const { tree, sources, following, kept } = acceptedRows({
          ...inputs,
          openTokens: ints([0, 2]),
          rows: 1,
        });
        return {
          results: [
            [tree.rowOffsets, [1], [0]],
            [tree.parents, [1], [-1]],
            [sources, [1], [0]],
            empty(following, 0, 5),
            empty(kept, 0),
          ],
        };
      },
    ],
    [
      'without open positions and paths',
      ({ ints }) => {
        const [counts, lengths, open] = [ints([1], 0), ints([1], 4), ints([1], 0)];
        const inputs = { path: ints([1, 0]), counts, drawn: ints([1, 0]), lengths, open };
        const result = acceptedRows({ ...inputs, openTokens: ints([1, 0]), rows: 0 });
        return {
          results: [
            [result.tree.rowOffsets, [2], [0, 0]],
            [result.tree.lengths, [1], [4]],
            empty(result.positions, 0),
            empty(result.following, 1, 0),
            [result.nextOpen, [1], [0]],
            empty(result.nextOpenTokens, 1, 0),
          ],
        };
      },
    ],
  ],
  chainTokens: [
    [
      'of no sequences',
      ({ ints }) => {
        const inputs = { following: ints([0, 3]), drafts: ints([0, 2, 0]), rowOffsets: ints([1], 0) };
        return { results: [[chainTokens({ ...inputs, head: 2, rows: 2 }), [2], [0, 0]]] };
      },
    ],
    [
      'of no rows',
      ({ ints }) => {
        const inputs = { following: ints([1, 0]), drafts: ints([1, 0, 0]), rowOffsets: ints([2], 0, 0) };
        return { results: [empty(chainTokens({ ...inputs, head: 2, rows: 0 }), 0)] };
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

testFamily('sampling', operations, [
  'DeviceSampling',
  'deviceSampling',
  'packSampling',
  'fillSampling',
  'historyTokens',
  'needsHistory',
  'samplingArguments',
  'readPaths',
]);
