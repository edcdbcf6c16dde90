// As exact.test.ts, with more cases, larger models, longer texts and trees as wide as they may be.
import { isaLevels } from '../support/cpu';
import { checkExact, headKinds, type Scale } from '../support/exact';

const large: Scale = {
  hiddenSize: 128,
  layers: 3,
  heads: 7,
  promptTokens: 400,
  newTokens: 40,
  width: 63,
};

describe.each(isaLevels)('on %s', (isa) => {
  test.each([1, 2, 3, 4])('with %i threads', (threads) => checkExact({ isa, threads }, { runs: 40 }));

  test.each(headKinds)('large models with %s heads', (kind) =>
    checkExact({ isa, threads: 2 }, { runs: 16, scale: large, kinds: [kind] }),
  );
});
