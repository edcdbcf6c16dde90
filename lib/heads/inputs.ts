import { ForetokenError } from '../errors';
import type { Tensor } from '../tensor/tensor';
import type { HeadInputs, HeadOutputs, Heads } from './heads';

/** Whether head 1's output is needed for the other heads: head 2 of a chain starts from it. */
export function needsHidden({ chained, readHidden }: Heads): boolean {
  return chained || readHidden;
}

/** Replaces inputs that the heads do not read by null, as {@link HeadInputs} documents. */
export function inputsOf(heads: Heads, { z, hidden, previous, tokens, root, rows }: HeadInputs): HeadInputs {
  return {
    z,
    hidden: heads.readHidden ? hidden : null,
    previous: heads.chained ? previous : null,
    tokens: heads.chained ? tokens : null,
    root: heads.readRoot ? root : null,
    rows,
  };
}

/** Returns the state that head k of a chain gives to head k+1. */
export function stateOf(k: number, { state }: HeadOutputs): Tensor {
  if (state) return state;
  throw new ForetokenError(
    'UNSUPPORTED',
    `the heads are chained, but forward returned no state for head ${k}`,
  );
}
