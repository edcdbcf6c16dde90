import { arrayOf, check, checker, integer, oneOf, shaped, type Checker } from '../check';
import { ForetokenError } from '../errors';
import type { Rows } from '../nn/rows';
import { LARGEST_INT } from '../tensor/checks';
import type { Tensor } from '../tensor/tensor';
import type { HeadInputs, HeadOutputs, HeadRead, Heads, HeadSources } from './heads';

const HEADS = shaped<Heads>('an object with reads, layers and forward', { forward: 'function' });
const READS = checker<readonly HeadRead[]>('an array of names of inputs', Array.isArray);
const NAME: Checker<HeadRead> = oneOf('z', 'hidden', 'previous', 'tokens', 'root');

/** Checks what the heads of a kind declare, for a model of so many layers. */
export function checkHeads(kind: string, heads: Heads, numHiddenLayers: number): Heads {
  const where = `heads of kind ${kind}`;
  check(where, heads, HEADS);
  check(`${where}: layers`, heads.layers, integer(0, LARGEST_INT));
  check(`${where}: reads`, heads.reads, READS).forEach((read, i) => {
    if (typeof read !== 'object') check(`${where}: reads[${i}]`, read, NAME);
    else check(`${where}: reads[${i}].features`, read.features, layersBefore(numHiddenLayers - 1));
  });
  return heads;
}

/** Makes a checker of some layers of the trunk: those before this one. */
function layersBefore(end: number): Checker<readonly number[]> {
  return {
    ...arrayOf(integer(0, end - 1)),
    allowed: 'an array of at least one layer',
    fits: (value) => Array.isArray(value) && value.length > 0,
  };
}

/** Whether heads read this input. */
export function reads({ reads: all }: Pick<Heads, 'reads'>, name: keyof HeadSources): boolean {
  return all.some((read) => nameOf(read) === name);
}

function nameOf(read: HeadRead): keyof HeadSources {
  return typeof read === 'object' ? 'features' : read;
}

/** Lists the layers of the trunk whose outputs are `features`. */
export function featureLayers({ reads: all }: Heads): readonly number[] {
  return all.flatMap((read) => (typeof read === 'object' ? read.features : []));
}

/** Whether head 1's output is needed for the other heads: head 2 gets it as `previous`. */
export function needsHidden(heads: Heads): boolean {
  return reads(heads, 'hidden') || reads(heads, 'previous');
}

/** Lists the states of the trunk that heads read, and their widths in hidden sizes. */
export function statesRead(heads: Heads): { name: 'z' | 'hidden' | 'features'; width: number }[] {
  const layers = featureLayers(heads).length;
  return [
    ...(reads(heads, 'z') ? [{ name: 'z', width: 1 } as const] : []),
    ...(needsHidden(heads) ? [{ name: 'hidden', width: 1 } as const] : []),
    ...(layers > 0 ? [{ name: 'features', width: layers } as const] : []),
  ];
}

/** Inputs that a caller has at hand; it must have all that the heads read. */
export type Available = { readonly [Name in keyof HeadSources]?: Tensor | null };

/** Picks what the heads read. */
export function inputsOf(heads: Heads, available: Available, rows: Rows): HeadInputs {
  const inputs = heads.reads.map((read) => [nameOf(read), available[nameOf(read)]] as const);
  return { ...(Object.fromEntries(inputs) as Record<keyof HeadSources, Tensor>), rows };
}

/** Returns the state that head k gives to head k+1. */
export function stateOf(k: number, { state }: HeadOutputs): Tensor {
  if (state) return state;
  throw new ForetokenError(
    'UNSUPPORTED',
    `the heads read previous, but forward returned no state for head ${k}`,
  );
}
