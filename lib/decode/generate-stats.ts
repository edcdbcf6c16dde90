import { PHASES, type PhaseSeconds } from './step-clock';
import type { DraftTree } from './draft-tree';
import type { GeneratedPiece } from './output-limiter';

/** Why a text ended: at `maxTokens` or the model's last position, at the end-of-text token, or at a stop string. */
export type FinishReason = 'length' | 'eos' | 'stop';

/** Counts and times of a generation. */
export interface GenerateStats {
  /** Tokens of the prompt. */
  promptTokens: number;
  /** Tokens generated. */
  tokens: number;
  /** Decoding steps: forward passes that verify a tree. */
  steps: number;
  /** Tokens committed per step: accepted drafts plus the token that verification draws; plain decoding has 1. */
  tokensPerStep: number;
  /** Draft nodes verified. */
  drafted: number;
  /** Draft nodes accepted. */
  accepted: number;
  /** `[d-1]`: share of the steps with a tree of depth d or more that accepted a node of depth d. */
  cumulativeAcceptance: number[];
  /** `[d-1]`: the same share, of the steps that accepted a node of depth d-1. */
  conditionalAcceptance: number[];
  /** Device time of each phase, over all steps. */
  phaseSeconds: PhaseSeconds;
  /** Wall-clock time of the prompt's forward passes. */
  prefillSeconds: number;
  /** Wall-clock time of all steps. */
  decodeSeconds: number;
  /** `tokens` over `decodeSeconds`, without the time of the prompt. */
  tokensPerSecond: number;
  /** Null while the text goes on and after an abort. */
  finishReason: FinishReason | null;
}

/** A step as statistics count it. */
export interface CountedStep {
  readonly tree: DraftTree;
  /** Accepted nodes, root first. */
  readonly path: readonly number[];
  readonly phases: PhaseSeconds;
  /** Wall-clock time. */
  readonly seconds: number;
  /** The part of the step that belongs to the text. */
  readonly piece: GeneratedPiece;
}

/** Collects the statistics of a generation. */
export class StatsRecorder {
  #tokens = 0;
  #steps = 0;
  #drafted = 0;
  #accepted = 0;
  readonly #reached: number[] = [];
  readonly #acceptedAt: number[] = [];
  readonly #phases = Object.fromEntries(PHASES.map((phase) => [phase, 0])) as PhaseSeconds;
  #prefillSeconds = 0;
  #decodeSeconds = 0;
  finishReason: FinishReason | null = null;

  constructor(private readonly promptTokens: number) {}

  /** Counts a step that drew nothing for this text: it read a piece of the prompt, or other texts came first. */
  waited(before: 'prefill' | 'decode', seconds: number): void {
    if (before === 'prefill') this.#prefillSeconds += seconds;
    else this.#decodeSeconds += seconds;
  }

  /** Counts a step that drew tokens, without those after the end of the text. */
  stepped({ tree, path, phases, seconds, piece }: CountedStep): void {
    this.#steps++;
    this.#tokens += piece.tokens.length;
    this.#drafted += tree.parents.length - 1;
    // One token of a step is always drawn, also if the text ends before the drafts that the step accepted.
    this.#accepted += Math.min(path.length, piece.tokens.length) - 1;
    this.#decodeSeconds += seconds;
    for (let depth = 1; depth <= tree.maxDepth; depth++) {
      this.#reached[depth - 1] = (this.#reached[depth - 1] ?? 0) + 1;
      this.#acceptedAt[depth - 1] = (this.#acceptedAt[depth - 1] ?? 0) + (path.length > depth ? 1 : 0);
    }
    for (const phase of PHASES) this.#phases[phase] += phases[phase];
  }

  get stats(): GenerateStats {
    const cumulative = this.#acceptedAt.map((accepted, i) => accepted / this.#reached[i]!);
    return {
      promptTokens: this.promptTokens,
      tokens: this.#tokens,
      steps: this.#steps,
      tokensPerStep: this.#steps > 0 ? this.#tokens / this.#steps : 0,
      drafted: this.#drafted,
      accepted: this.#accepted,
      cumulativeAcceptance: cumulative,
      conditionalAcceptance: this.#acceptedAt.map((accepted, i) => {
        const before = i === 0 ? this.#reached[0]! : this.#acceptedAt[i - 1]!;
        return before > 0 ? accepted / before : 0;
      }),
      phaseSeconds: { ...this.#phases },
      prefillSeconds: this.#prefillSeconds,
      decodeSeconds: this.#decodeSeconds,
      tokensPerSecond: this.#decodeSeconds > 0 ? this.#tokens / this.#decodeSeconds : 0,
      finishReason: this.finishReason,
    };
  }
}
