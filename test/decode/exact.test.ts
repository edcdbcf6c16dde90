import { openDevice } from '../../lib/tensor/device';
import { allIsaLevels, isaLevels } from '../support/cpu';
import { checkExact, randomModel, tokensOf, type ModelCase } from '../support/exact';

describe('output with any speculation equals output without, token for token', () => {
  for (const isa of isaLevels) {
    for (const threads of [1, 2, 3]) {
      it(`on ${isa} with ${threads} threads`, async () => {
        using device = openDevice('cpu', { isa, threads, poison: true });
        await checkExact(device, { runs: 12 });
      }, 60_000);
    }
  }

  it.each(
    allIsaLevels.flatMap((isa) => (['bfloat16', 'int8'] as const).map((dtype) => [isa, dtype] as const)),
  )(
    'on %s with weights in %s',
    async (isa, dtype) => {
      using device = openDevice('cpu', { isa, threads: 2, poison: true });
      await checkExact(device, { runs: 12, dtype });
    },
    60_000,
  );

  it('the same for any number of threads', async () => {
    const outputs = [];
    for (const threads of [1, 2, 4]) {
      using device = openDevice('cpu', { threads, poison: true });
      const description: ModelCase = {
        kind: 'sequential',
        numHeads: 4,
        seed: 7,
        tied: true,
        modelType: 'llama',
      };
      using model = randomModel(device, description);
      outputs.push(
        await tokensOf(model, [1, 2, 3], { temperature: 0.8, seed: 5, maxTokens: 64, ignoreEos: true }),
      );
    }
    expect(outputs[1]).toEqual(outputs[0]);
    expect(outputs[2]).toEqual(outputs[0]);
  });
});
