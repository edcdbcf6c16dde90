import type { MtpModel, TrunkStates } from '../model/model';
import type { ModelCache } from '../nn/model-cache';
import type { Tensor } from '../tensor/tensor';
import { verifyTree, type VerifyTreeResult } from '../tensor/ops/sampling/verify-tree';
import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import type { DeviceHistory } from './device-history';
import type { SlotSampling } from './slot-sampling';
import type { HeadDrafter } from './head-drafter';
import type { Proposals } from './proposer';
import type { StepForm } from './step-form';
import type { StepInputs } from './step-inputs';

/** The parts of an engine that all its steps share. */
export interface StepContext {
  readonly model: MtpModel;
  readonly cache: ModelCache;
  readonly sampling: SlotSampling;
  readonly history: DeviceHistory;
  readonly drafter: HeadDrafter | null;
}

/** Runs the model on the rows of a step; their keys and values go into the cache. */
export function forward({ model, cache }: StepContext, { tokens, positions, tree }: StepInputs): TrunkStates {
  return model.states(tokens, { kind: 'cached', cache, tree, positions });
}

/**
 * Draws the tokens of all trees.
 * @param mask which tokens each row may draw, as for {@link verifyTree}; null for every token
 */
export function verify(
  { model, sampling, history }: StepContext,
  { tokens, tree, textLengths, promptLengths }: StepInputs,
  { hidden }: TrunkStates,
  { slots, pathLength, needs }: Pick<StepForm, 'slots' | 'pathLength' | 'needs'>,
  mask: Tensor | null,
): VerifyTreeResult {
  return verifyTree({
    hidden,
    weight: model.unembeddingFor(hidden),
    tokens,
    tree,
    maxDepth: pathLength - 1,
    sampling: sampling.packed,
    allowsNoToken: true,
    mask: mask ?? undefined,
    history:
      needs === 'history' ? { tokens: history.of(slots), lengths: textLengths, promptLengths } : undefined,
  });
}

/** Lets the heads read the accepted rows and propose tokens for the next step. */
export function propose(
  { drafter, sampling }: StepContext,
  { lengths }: TreeRows,
  states: TrunkStates,
  { path, counts, drawn }: Pick<VerifyTreeResult, 'path' | 'counts' | 'drawn'>,
  { slots, rows, pathLength, proposal }: Omit<StepForm, 'needs' | 'isMasked'>,
): Proposals | null {
  if (!drafter) return null;
  const accepted = { path, counts, drawn, lengths };
  const most = Math.min(rows, slots * pathLength);
  if (proposal)
    return drafter.draft(states, accepted, { ...proposal, rows: most, sampling: sampling.packed });
  drafter.read(states, accepted, most);
  return null;
}
