// On every kind of GPU, speculative output equals plain output, token for token.
import { checkExact, small, type ExactCases } from '../support/exact';
import { bfloat16Targets, isEmulated, onDevice, type Target } from '../support/devices';

/** Small enough that a case takes about a second when every thread is emulated. */
const tiny = { ...small, heads: 4, promptTokens: 24, newTokens: 8 };

const casesFor = (target: Target): ExactCases =>
  isEmulated(target) ? { runs: 3, scale: tiny } : { runs: 12, scale: small };

describe.each(bfloat16Targets)('on %s, output with any speculation equals output without', (target) => {
  it.each(['float32', 'bfloat16'] as const)(
    'in %s',
    (dtype) => onDevice(target, (device) => checkExact(device, { ...casesFor(target), dtype })),
    300_000,
  );
});
