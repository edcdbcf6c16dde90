import { openDevice } from '../../lib/tensor/device';
import { allIsaLevels, isaLevels } from '../support/cpu';
import { checkTogether } from '../support/together';

describe('a text beside others equals the text alone, token for token', () => {
  for (const isa of isaLevels) {
    for (const threads of [1, 3]) {
      it(`on ${isa} with ${threads} threads`, async () => {
        using device = openDevice('cpu', { isa, threads, poison: true });
        await checkTogether(device, { runs: 6 });
      }, 60_000);
    }
  }

  it('on the emulated GPU', async () => {
    using device = openDevice('cuda-emulated', { emulator: { schedule: 'random', seed: 1 } });
    const scale = { hiddenSize: 32, layers: 2, heads: 3, promptTokens: 10, newTokens: 5, width: 2 };
    await checkTogether(device, { runs: 3, scale });
  }, 120_000);

  it.each(
    allIsaLevels.flatMap((isa) => (['bfloat16', 'int8'] as const).map((dtype) => [isa, dtype] as const)),
  )(
    'on %s with weights in %s',
    async (isa, dtype) => {
      using device = openDevice('cpu', { isa, threads: 2, poison: true });
      await checkTogether(device, { runs: 4, dtype });
    },
    60_000,
  );
});
