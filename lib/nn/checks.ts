import {
  arrayOf,
  boolean,
  check,
  checkOptions,
  integer,
  instance,
  nullable,
  number,
  object,
  oneOf,
  required,
  string,
  type Checker,
  type Schema,
} from '../check';
import { LARGEST_INT, dimension, weightDType } from '../tensor/checks';
import type { BlockConfig, BlockNorms, GatedDeltaConfig } from './block-config';
import type { LinearPart } from './linear';
import type { Init, ParameterPart, StoreOptions } from './parameters';

/** A size of at least 1. */
export const size: Checker<number> = integer(1, LARGEST_INT);

/** Layers of a cache; heads that look at their own row alone need none. */
export const layerCount: Checker<number> = integer(0, LARGEST_INT);

export const STORE_OPTIONS: Schema<StoreOptions> = { dtype: weightDType, masters: boolean };

const finite = number(-Infinity);
const NORMAL = object<Extract<Init, { std: number }>>({ std: required(number(0)) });
const CONSTANT = object<Extract<Init, { value: number }>>({ value: required(finite) });

/** Either kind of initial values; an object with `value` is of the second kind. */
export const INIT: Checker<Init> = {
  allowed: 'an object with std or value',
  fits: NORMAL.fits,
  parts: (what, init) => check<Init>(what, init, 'value' in (init as object) ? CONSTANT : NORMAL),
};

export const PARAMETER_PARTS: Checker<ParameterPart[]> = {
  ...arrayOf(object<ParameterPart>({ name: required(string), shape: required(arrayOf(dimension, 6)) })),
  allowed: 'an array of at least one part, an object with name and shape',
  fits: (value) => Array.isArray(value) && value.length > 0,
};

export const LINEAR_PARTS: Checker<LinearPart[]> = arrayOf(
  object<LinearPart>({ name: required(string), rows: required(size) }),
);

const BLOCK_CONFIG: Schema<BlockConfig> = {
  hiddenSize: required(size),
  intermediateSize: required(size),
  heads: required(size),
  kvHeads: required(size),
  headDim: required(size),
  rmsNormEps: required(number(0)),
  norms: required(
    object<BlockNorms>({
      beforeAttention: required(nullable(string)),
      afterAttention: required(nullable(string)),
      beforeMlp: required(nullable(string)),
      afterMlp: required(nullable(string)),
    }),
  ),
  qkvBias: required(boolean),
  outBias: required(boolean),
  qkNorm: required(nullable(oneOf('head', 'row'))),
  activation: required(oneOf('silu', 'gelu_tanh')),
  fused: required(boolean),
  scoreScale: required(number(0)),
  residualScale: required(number(0)),
  window: required(nullable(size)),
  outputGate: required(boolean),
  recurrent: required(
    nullable(
      object<GatedDeltaConfig>({
        keyHeads: required(size),
        valueHeads: required(size),
        keyDim: required(size),
        valueDim: required(size),
        taps: required(size),
      }),
    ),
  ),
  initStd: required(number(0)),
  residualStd: required(number(0)),
};

/** Checks the sizes and features of a layer. */
export function checkBlockConfig(where: string, config: BlockConfig): BlockConfig {
  return checkOptions(where, config, BLOCK_CONFIG);
}

/** Checks the store of a layer's parameters, and their name or its prefix. */
export function checkPlace(
  where: string,
  store: unknown,
  type: { readonly prototype: unknown; readonly name: string },
  name: unknown,
  called = 'prefix',
): void {
  check(`${where}: store`, store, instance(type));
  check(`${where}: ${called}`, name, string);
}
