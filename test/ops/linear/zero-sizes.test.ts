import { noGrad } from '../../../lib/tensor/autograd';
import { linear, packedZeros, packRows, packWeight } from '../../../lib/tensor/ops/linear/linear';
import { empty, MANY, testFamily, zeros, type Cases } from '../../support/zero-sizes';

const operations: Cases = {
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
  packRows: [
    [
      'changes nothing',
      ({ device, floats }) => {
        if (!device.packs('int8')) return { results: [empty(floats(0, 3).detach(), 0, 3)] };
        return noGrad(() => {
          const packed = packedZeros(device, [2, 3], 'int8');
          packRows(packed, 0, floats(0, 3));
          packRows(packedZeros(device, [2, 0], 'int8'), 0, floats(2, 0));
          packRows(packedZeros(device, [0, 3], 'int8'), 0, floats(0, 3));
          return { results: [[linear(floats(1, 3), packed), [1, 2], [0, 0]]] };
        });
      },
    ],
  ],
  packedZeros: [
    [
      'multiplies like a weight of zeros',
      ({ device, floats }) => {
        if (!device.packs('int8')) return { results: [empty(floats(0, 3).detach(), 0, 3)] };
        return noGrad(() => ({
          results: [
            empty(linear(floats(2, 3), packedZeros(device, [0, 3], 'int8')), 2, 0),
            [linear(floats(2, 0), packedZeros(device, [3, 0], 'int8')), [2, 3], zeros(6)],
          ],
        }));
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
};

testFamily('linear', operations);
