import { adamw, clipCoefficient, sumSquares } from '../../../lib/tensor/ops/optimizer/optimizer';
import { empty, testFamily, type Cases } from '../../support/zero-sizes';

const operations: Cases = {
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
};

testFamily('optimizer', operations);
