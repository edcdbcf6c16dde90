import { reads } from '../heads/inputs';
import type { MtpModel } from '../model/model';
import { KvCache } from '../nn/kv-cache';
import { ChainedDrafter } from './chained-drafter';
import type { Drafter } from './drafter';
import { IndependentDrafter } from './independent-drafter';
import { PositionDrafter } from './position-drafter';
import type { StepInputs } from './step-inputs';

export interface DrafterOptions {
  /** How many heads draft, at most numHeads - 1. */
  depth: number;
  /** Positions of a text at most. */
  capacity: number;
  inputs: StepInputs;
}

/** Makes the drafter that suits the heads of a model. */
export function makeDrafter(model: MtpModel, { depth, capacity, inputs }: DrafterOptions): Drafter {
  const { numKeyValueHeads, headDim } = model.config;
  const isChained = reads(model.heads, 'tokens') || reads(model.heads, 'previous');
  if (!isChained && model.heads.layers === 0) return new PositionDrafter(model, depth, inputs);
  const layers = model.heads.layers * depth;
  const { device, dtype } = model;
  const cache = new KvCache(device, { layers, kvHeads: numKeyValueHeads, headDim, capacity, dtype });
  cache.reserve(0, capacity);
  return isChained ? new ChainedDrafter(model, depth, cache) : new IndependentDrafter(model, depth, cache);
}
