import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
  linearCrossEntropyWithGrad,
} from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { empty, testFamily, zeros, type Case, type Cases } from '../../support/zero-sizes';

const operations: Cases = {
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
};

testFamily('loss', operations);
