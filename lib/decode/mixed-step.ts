import type { TrunkStates } from '../model/model';
import { noGrad } from '../tensor/autograd';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { HeadDrafts } from './draft-tree';
import { forward, propose, verify, type StepContext } from './step';
import { countRows, rowsOfSlot, type Part, type StepBatch } from './step-batch';
import type { StepForm } from './step-form';
import { StepInputs } from './step-inputs';
import { StepMasks, type Failures } from './step-masks';
import { ReportBuffer, type StepReport } from './step-report';
import { takeRows } from './take-rows';

/**
 * Runs a step in which some sequences read a piece of their prompt, while others may verify trees. Its operations are enqueued one
 * by one, because such steps have too many sizes to capture.
 */
export async function runMixedStep(
  context: StepContext,
  parts: readonly Part[],
  form: StepForm,
): Promise<{ report: StepReport; failures: Failures }> {
  const { model } = context;
  const { device } = model;
  const pieces = parts.filter(({ isPiece }) => isPiece);
  const trees = parts.filter(({ isPiece }) => !isPiece);
  using inputs = new StepInputs(device, form.slots, countRows(parts));
  using treeInputs = new StepInputs(device, form.slots, countRows(trees));
  using treeReport = new ReportBuffer(device, form);
  using pieceReport = new ReportBuffer(device, form);
  using masks = form.isMasked ? new StepMasks(device, countRows(trees), model.config.vocabSize) : null;
  let failures: Failures = new Map();
  const clock = treeReport.clock();
  const enqueue = (): void => {
    const { lengths } = context.cache;
    inputs.write(parts, lengths);
    // Heads read the pieces before the trees.
    const read = Int32Array.from(lengths);
    for (const { sequence, tokens } of pieces) read[sequence.slot]! += tokens.length;
    treeInputs.write(trees, read);
    clock.mark();
    const states = forward(context, inputs);
    clock.mark();
    const index = Int32Array.from(trees.flatMap(({ sequence }) => rowsOfSlot(inputs.host, sequence.slot)));
    const ofTrees = device.tensor(index);
    const take = (rows: Tensor): Tensor => takeRows(ofTrees, rows);
    const treeStates = takeStates(states, take);
    if (masks) failures = masks.write(trees);
    const verified =
      trees.length > 0 ? verify(context, treeInputs, treeStates, form, masks?.tensor ?? null) : null;
    clock.mark();
    if (verified) context.cache.commit(treeInputs.tree, verified.path, verified.counts, take);
    const accepted = pieces.length > 0 ? acceptAll(context, pieces, inputs.host) : null;
    // Keys and values of pieces already lie in their places.
    if (accepted) context.cache.recurrent?.update(inputs.tree, accepted.path, accepted.counts);
    clock.mark();
    if (accepted) {
      const pieceForm = { ...form, rows: countRows(pieces), pathLength: accepted.path.shape[1]! };
      pieceReport.writeProposals(propose(context, inputs.tree, states, accepted, pieceForm));
    }
    if (verified) {
      const treeForm = { ...form, rows: index.length };
      treeReport.write(verified, propose(context, treeInputs.tree, treeStates, verified, treeForm));
    }
    clock.mark();
  };
  noGrad(() => scope(enqueue));
  const ofTrees = await treeReport.read(treeInputs.host);
  const ofPieces = await pieceReport.read(inputs.host);
  const pieceSlots = new Set(pieces.map(({ sequence }) => sequence.slot));
  const drafts = (slot: number): HeadDrafts | null =>
    (pieceSlots.has(slot) ? ofPieces : ofTrees).drafts(slot);
  return { report: { ...ofTrees, drafts }, failures };
}

/** Takes the states of some rows. */
function takeStates(states: TrunkStates, take: (rows: Tensor) => Tensor): TrunkStates {
  const taken = Object.entries(states).map(([name, state]) => [name, take(state)] as const);
  return Object.fromEntries(taken) as TrunkStates;
}

/** Accepts all rows of pieces of prompts: each is followed by the next token of its prompt. */
function acceptAll(
  { model: { device } }: StepContext,
  pieces: readonly Part[],
  batch: StepBatch,
): Record<'path' | 'counts' | 'drawn', Tensor> {
  const slots = batch.lengths.length;
  const longest = Math.max(...pieces.map(({ tokens }) => tokens.length));
  const path = new Int32Array(slots * longest).fill(-1);
  const drawn = new Int32Array(slots * longest).fill(-1);
  const counts = new Int32Array(slots);
  for (const { sequence, tokens } of pieces) {
    const { slot, length } = sequence;
    counts[slot] = tokens.length;
    path.set(rowsOfSlot(batch, slot), slot * longest);
    drawn.set(sequence.tokens.slice(length + 1, length + 1 + tokens.length), slot * longest);
  }
  return {
    path: device.tensor(path, [slots, longest]),
    drawn: device.tensor(drawn, [slots, longest]),
    counts: device.tensor(counts),
  };
}
