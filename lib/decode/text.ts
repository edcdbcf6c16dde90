import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import type { SamplingOptions } from '../tensor/ops/sampling/sampling';
import { firstDrafts, type Candidates } from './best-first';
import { afterDrawn, allowedNodes, candidatesOf, treeOf, type TokenConstraint } from './constraint';
import { DraftTreeBuilder, plant, type DraftTree } from './draft-tree';
import type { Outcome, StepResult, StepWork } from './engine';
import { experienceWith } from './experience';
import type { StatsRecorder } from './generate-stats';
import { MAX_DRAFT_NODES, type GenerateOptions } from './options';
import { OutputLimiter, type GeneratedPiece } from './output-limiter';
import { isRead, newSequence, type Sequence } from './sequence';
import type { Proposal } from './step-form';
import type { Strategy } from './strategy';
import { TextDrafts } from './text-drafts';
import { UserDrafter } from './user-drafts';

/** Tokens that heads propose for each position if any tree may be built of them. */
const WIDTH = 8;

/** A checked request for a text. */
export interface TextRequest {
  readonly model: MtpModel;
  readonly tokenizer: Tokenizer;
  readonly prompt: ArrayLike<number>;
  /** Tokens that the text continues: those of the prompt, or none if the text stands by itself, as an answer does. */
  readonly after: Iterable<number>;
  readonly maxTokens: number;
  readonly sampling: Required<SamplingOptions>;
  readonly options: Pick<GenerateOptions, 'stop' | 'ignoreEos' | 'signal' | 'draft' | 'constraint'>;
  readonly strategy: Strategy;
}

/** Drafts of a text for the next step: a tree, or candidates of which a budget chooses the first. */
export type Drafted =
  | { readonly kind: 'tree'; readonly tree: DraftTree }
  | { readonly kind: 'candidates'; readonly candidates: Candidates };

/** Whether heads draft for a text. */
export function usesHeads({ model, strategy }: TextRequest): boolean {
  return model.numHeads > 1 && (strategy.kind === 'plan' ? strategy.plan.maxDepth : strategy.nodes) > 0;
}

/** A text on its way through an engine: drafts, and turns the tokens of its steps into text. */
export class Text {
  readonly sequence: Sequence;
  readonly #output: OutputLimiter;
  /** Null for a text whose trees have the same plan at every step. */
  readonly #drafts: TextDrafts | null;
  /** The tree of the last step. */
  #tree: DraftTree | null = null;
  /** The constraint on the last drawn token, or on the first if none is drawn; null if every token may come. */
  #constraint: TokenConstraint | null;
  /** The constraint after each node of the last drafts. */
  #constraints: readonly TokenConstraint[] | null = null;

  constructor(
    readonly request: TextRequest,
    private readonly recorder: StatsRecorder,
  ) {
    this.sequence = newSequence(request.prompt, request.sampling);
    this.#output = new OutputLimiter(request);
    this.#drafts = request.strategy.kind === 'plan' ? null : draftsOf(request, this.sequence);
    this.#constraint = request.options.constraint ?? null;
    this.#report();
  }

  /** Whether the text has ended. */
  get isDone(): boolean {
    return this.#output.finishReason !== null;
  }

  /**
   * Drafts for the next step.
   * @throws what the user's functions throw, and what is wrong with their results
   */
  draft(): Drafted {
    const drafted = this.#draft();
    if (!this.#constraint) return drafted;
    const { tokens, promptLength } = this.sequence;
    const hasDrawn = tokens.length > promptLength;
    const { nodes, constraints } = allowedNodes(
      drafted.kind === 'tree' ? drafted.tree : drafted.candidates,
      hasDrawn ? afterDrawn(this.#constraint, tokens.at(-1)!) : this.#constraint,
    );
    this.#constraints = constraints;
    return drafted.kind === 'tree'
      ? { kind: 'tree', tree: treeOf(drafted.tree, nodes) }
      : { kind: 'candidates', candidates: candidatesOf(drafted.candidates, nodes) };
  }

  #draft(): Drafted {
    const { strategy, model } = this.request;
    const { sequence } = this;
    const root = sequence.tokens.at(-1)!;
    const positionsLeft = model.config.maxPositionEmbeddings - sequence.tokens.length;
    if (strategy.kind === 'plan' || !isRead(sequence)) {
      const plan = strategy.kind === 'plan' && strategy.plan.maxDepth <= positionsLeft ? strategy.plan : null;
      const tree =
        plan && sequence.drafts ? plant(plan, root, sequence.drafts) : new DraftTreeBuilder(root).build();
      return { kind: 'tree', tree };
    }
    // A step draws one token more than it accepts drafts.
    const deepest = Math.min(positionsLeft, this.#output.tokensLeft - 1);
    const candidates = this.#drafts!.candidates({ most: strategy.nodes, deepest });
    if (strategy.kind === 'adaptive') return { kind: 'candidates', candidates };
    return { kind: 'tree', tree: firstDrafts(candidates, candidates.tokens.length - 1) };
  }

  /** Returns what the next step shall do. */
  work(tree: DraftTree, wantsDrafts: boolean): StepWork {
    this.#tree = tree;
    const constraints = this.#constraints?.slice(0, tree.tokens.length) ?? null;
    const proposal = wantsDrafts ? this.#proposal() : null;
    return { sequence: this.sequence, tree, constraints, proposal };
  }

  #proposal(): Proposal | null {
    const { strategy, model } = this.request;
    if (!usesHeads(this.request)) return null;
    if (strategy.kind === 'plan') return { depth: strategy.plan.maxDepth, width: strategy.plan.width };
    return { depth: model.numHeads - 1, width: Math.min(WIDTH, model.draftVocabSize) };
  }

  /**
   * Takes the outcome of a step.
   * @param seconds wall-clock time of the step
   * @returns the text that the step adds; null if it drew nothing
   * @throws the error that ended the text
   */
  take(outcome: Outcome, { seconds: phases }: StepResult, seconds: number): GeneratedPiece | null {
    if (outcome.kind === 'failed') throw outcome.error;
    if (outcome.kind === 'none') {
      const { tokens, promptLength } = this.sequence;
      this.recorder.waited(tokens.length === promptLength ? 'prefill' : 'decode', seconds);
      return null;
    }
    const { path, tokens } = outcome;
    this.#drafts?.observe(tokens);
    const piece = this.#output.take(tokens);
    this.recorder.stepped({ tree: this.#tree!, path, phases, seconds, piece });
    this.#report();
    if (this.#constraints) this.#constraint = this.#constraints[path.at(-1)!]!;
    return piece;
  }

  #report(): void {
    this.recorder.finishReason = this.#output.finishReason;
  }
}

/** Makes the sources of a text's drafts. */
function draftsOf({ model, options: { draft } }: TextRequest, sequence: Sequence): TextDrafts {
  const { vocabSize } = model.config;
  const user = draft ? new UserDrafter('generate: draft', draft, vocabSize, MAX_DRAFT_NODES) : null;
  return new TextDrafts(sequence, experienceWith(model).heads, user);
}
