import { ForetokenError } from '../errors';
import type { MtpModel } from '../model/model';
import type { TokenConstraint } from './constraint';
import { CapturedSteps } from './captured-steps';
import { DeviceHistory } from './device-history';
import { SlotSampling } from './slot-sampling';
import type { DraftTree } from './draft-tree';
import { MAX_DRAFT_NODES } from './options';
import { HeadDrafter } from './head-drafter';
import { runMixedStep } from './mixed-step';
import { isRead, type Sequence } from './sequence';
import type { StepContext } from './step';
import { countRows, type Part } from './step-batch';
import { MARKS, StepClock, type PhaseSeconds } from './step-clock';
import { MOST_ROWS, powerOfTwo, sizeClass, type Proposal } from './step-form';
import type { Failures } from './step-masks';
import type { StepReport } from './step-report';

/** Most prompt tokens of a step: reading a prompt delays texts beside it by little. */
const PROMPT_ROWS = 64;

/** The task of a step for one sequence. */
export interface StepWork {
  readonly sequence: Sequence;
  /** The tree to verify, whose root is the last token; while the prompt is not read, the step reads on in it instead. */
  readonly tree: DraftTree;
  /** `[nodes]`: which tokens may follow each node of the tree; null if every token may. */
  readonly constraints: readonly TokenConstraint[] | null;
  /** How many tokens the heads shall propose for the step after this one; null for none. */
  readonly proposal: Proposal | null;
}

/** The outcome of a step for one sequence. */
export type Outcome =
  | {
      readonly kind: 'drawn';
      /** Accepted nodes of the tree, root first. */
      readonly path: readonly number[];
      /** The token drawn at each of them. */
      readonly tokens: Int32Array;
    }
  /** Read a piece of the prompt, or waited because others came first. */
  | { readonly kind: 'none' }
  /** Failed for this sequence alone, which keeps its state. */
  | { readonly kind: 'failed'; readonly error: unknown };

/** The outcome of a step for all of its sequences. */
export interface StepResult {
  /** In the order of the work. */
  readonly outcomes: readonly Outcome[];
  readonly seconds: PhaseSeconds;
  /** Whether this was the first step of its form, or read prompts as well: its time says little about later ones. */
  readonly isUnusual: boolean;
}

/** A step that has ended. */
interface RanStep {
  readonly report: StepReport;
  /** Sequences whose constraints failed. */
  readonly failures: Failures;
  readonly isUnusual: boolean;
}

/** Sizes of an {@link Engine}. */
export interface EngineOptions {
  /** Most texts at once. */
  readonly slots: number;
  /** How many heads draft; 0 for none. */
  readonly draftDepth: number;
}

/**
 * Steps many texts at once: each contributes a draft tree or a piece of its prompt to one forward pass. The tokens of a text are
 * those that it gets alone, whatever runs beside it.
 */
export class Engine implements Disposable {
  readonly #context: StepContext;
  readonly #steps: CapturedSteps;
  readonly #sequences: (Sequence | null)[];
  /** Version of the weights that captured steps read. */
  readonly #version: number;
  /** Most nodes of an accepted path so far, as a power of two. */
  #pathLength = 1;

  constructor(
    readonly model: MtpModel,
    readonly options: EngineOptions,
  ) {
    const { device, config } = model;
    const { slots, draftDepth } = options;
    // A captured step keeps reading the tensors it was captured with, so weights are packed before the first.
    model.parameters.packWeights();
    model.draftUnembedding();
    this.#version = model.parameters.version;
    this.#context = {
      model,
      cache: model.createCache(config.maxPositionEmbeddings + MAX_DRAFT_NODES, slots),
      sampling: new SlotSampling(device, slots),
      history: new DeviceHistory(device, slots),
      drafter: draftDepth > 0 ? new HeadDrafter(model, { slots, depth: draftDepth }) : null,
    };
    this.#steps = new CapturedSteps(this.#context);
    this.#sequences = new Array<Sequence | null>(slots).fill(null);
  }

  /** Whether the weights are still those of the captured steps; if not, new texts need another engine. */
  get isCurrent(): boolean {
    return this.#version === this.model.parameters.version;
  }

  /** Gives a new sequence a slot, which must be free. */
  admit(sequence: Sequence): void {
    const slot = this.#sequences.indexOf(null);
    if (slot < 0) throw new ForetokenError('INTERNAL', 'Engine: admit needs a free slot');
    this.#context.sampling.write(slot, sequence.sampling);
    this.#sequences[slot] = sequence;
    sequence.slot = slot;
  }

  /** Takes a sequence out, between two steps, and frees its memory. */
  release(sequence: Sequence): void {
    const { slot } = sequence;
    if (this.#sequences[slot] !== sequence) return;
    this.#sequences[slot] = null;
    sequence.slot = -1;
    const { cache, sampling, history, drafter } = this.#context;
    for (const part of [cache, sampling, history, drafter]) part?.release(slot);
  }

  /** Runs one forward pass for these sequences. One step must end before the next begins. */
  async step(works: readonly StepWork[]): Promise<StepResult> {
    const outcomes = new Map<Sequence, Outcome>();
    const parts = divide(works).filter((part) => {
      try {
        this.#reserve(part);
        return true;
      } catch (error) {
        outcomes.set(part.sequence, { kind: 'failed', error });
        return false;
      }
    });
    const ran =
      parts.length > 0 ? await this.#run(parts, largestProposal(works, this.model.draftVocabSize)) : null;
    const accepted = new Int32Array(this.options.slots);
    for (const part of parts) {
      const outcome = outcomeOf(part, ran!);
      outcomes.set(part.sequence, outcome);
      accepted[part.sequence.slot] = extend(part, outcome, ran!.report);
    }
    this.#context.cache.advance(accepted);
    return {
      outcomes: works.map(({ sequence }) => outcomes.get(sequence) ?? { kind: 'none' }),
      seconds: ran?.report.seconds ?? StepClock.seconds(new Int32Array(MARKS)),
      isUnusual: ran?.isUnusual ?? true,
    };
  }

  /** Makes sure that there is memory for the rows of a part. */
  #reserve({ sequence: { slot, length }, tokens }: Part): void {
    const { cache, drafter, model } = this.#context;
    const positions = Math.min(length + tokens.length, model.config.maxPositionEmbeddings);
    cache.reserve(slot, length + tokens.length);
    drafter?.reserve(slot, positions);
    model.tables.reserve(positions);
  }

  async #run(parts: readonly Part[], wanted: Proposal | null): Promise<RanStep> {
    const trees = parts.filter(({ isPiece }) => !isPiece);
    const { needs } = this.#context.sampling.packed;
    if (needs === 'history') this.#uploadTexts(trees);
    // The length never shrinks, so that the depth of a tree does not make another form.
    const longest = 1 + Math.max(0, ...trees.map(({ maxDepth }) => maxDepth));
    this.#pathLength = Math.max(this.#pathLength, powerOfTwo(longest));
    const form = {
      slots: powerOfTwo(1 + Math.max(...parts.map(({ sequence }) => sequence.slot))),
      rows: sizeClass(countRows(parts)),
      pathLength: this.#pathLength,
      proposal: wanted,
      needs,
      isMasked: trees.some(({ constraints }) => constraints !== null),
    };
    if (trees.length < parts.length) {
      return { ...(await runMixedStep(this.#context, parts, form)), isUnusual: true };
    }
    const step = this.#steps.of(form);
    const { report, failures, isFirst } = await step.run(parts, this.#steps.neighbourOf(step));
    return { report, failures, isUnusual: isFirst };
  }

  /** Uploads the tokens that are new since draws last looked at the text. */
  #uploadTexts(parts: readonly Part[]): void {
    const { history } = this.#context;
    history.reserve(Math.max(...parts.map(({ sequence }) => sequence.tokens.length)));
    for (const { sequence } of parts) history.write(sequence.slot, sequence.tokens);
  }

  dispose(): void {
    this.#steps.dispose();
    const { cache, sampling, history, drafter } = this.#context;
    for (const part of [cache, sampling, history, drafter]) part?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Returns the rows of a step in the order of their slots. If not all fit, those that come first in the work take part. */
function divide(works: readonly StepWork[]): Part[] {
  let left = MOST_ROWS;
  let leftOfPrompts = PROMPT_ROWS;
  const parts: Part[] = [];
  for (const { sequence, tree, constraints } of works) {
    if (isRead(sequence)) {
      if (tree.tokens.length > left) continue;
      parts.push({ sequence, ...tree, constraints, isPiece: false });
    } else {
      const { tokens, length } = sequence;
      const count = Math.min(left, leftOfPrompts, tokens.length - 1 - length);
      if (count === 0) continue;
      leftOfPrompts -= count;
      const piece = chainOf(tokens.slice(length, length + count));
      parts.push({ sequence, ...piece, constraints: null, isPiece: true });
    }
    left -= parts.at(-1)!.tokens.length;
  }
  return parts.sort((a, b) => a.sequence.slot - b.sequence.slot);
}

function chainOf(tokens: readonly number[]): DraftTree {
  const depths = tokens.map((_, i) => i);
  const parents = depths.map((depth) => depth - 1);
  return { tokens, depths, parents, maxDepth: tokens.length - 1 };
}

function largestProposal(works: readonly StepWork[], most: number): Proposal | null {
  let [depth, width] = [0, 0];
  for (const { proposal } of works) {
    depth = Math.max(depth, proposal?.depth ?? 0);
    width = Math.max(width, proposal?.width ?? 0);
  }
  return depth > 0 ? { depth, width: Math.min(powerOfTwo(width), most) } : null;
}

function outcomeOf({ isPiece, sequence }: Part, { report, failures }: RanStep): Outcome {
  if (isPiece) return { kind: 'none' };
  if (failures.has(sequence)) return { kind: 'failed', error: failures.get(sequence) };
  const { slot, tokens } = sequence;
  const path = report.path(slot);
  if (path.length > 0) return { kind: 'drawn', path, tokens: report.tokens(slot) };
  return { kind: 'failed', error: nothingToDraw(tokens.length) };
}

/** Extends a sequence by the outcome of a step; returns how many positions of the cache are now committed. */
function extend({ sequence, tokens, isPiece }: Part, outcome: Outcome, report: StepReport): number {
  const accepted = isPiece ? tokens.length : outcome.kind === 'drawn' ? outcome.path.length : 0;
  sequence.length += accepted;
  if (outcome.kind === 'drawn') for (const token of outcome.tokens) sequence.tokens.push(token);
  sequence.drafts = isRead(sequence) ? report.drafts(sequence.slot) : null;
  return accepted;
}

function nothingToDraw(position: number): ForetokenError {
  return new ForetokenError(
    'DIVERGED',
    `no token can be drawn for position ${position}: the logits are not numbers (all are NaN or -Infinity); the weights are ` +
      'damaged, training diverged, or logitBias or constraint rules out every token',
  );
}
