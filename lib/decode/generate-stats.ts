import { PHASES, type PhaseSeconds } from './step-clock';
import type { StepReport } from './step-report';
import type { TreePlan } from './tree-plan';

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

/** Collects the statistics of a generation. */
export class StatsRecorder {
  #promptTokens = 0;
  #tokens = 0;
  #committed = 0;
  #steps = 0;
  #drafted = 0;
  #accepted = 0;
  readonly #reached: number[] = [];
  readonly #acceptedAt: number[] = [];
  readonly #phases = Object.fromEntries(PHASES.map((phase) => [phase, 0])) as PhaseSeconds;
  #prefillSeconds = 0;
  #decodeSeconds = 0;
  finishReason: FinishReason | null = null;

  prefilled(tokens: number, seconds: number): void {
    this.#promptTokens = tokens;
    this.#prefillSeconds = seconds;
  }

  /** @param seconds wall-clock time of the step */
  stepped(plan: TreePlan, { tokens, path, seconds: phases }: StepReport, seconds: number): void {
    this.#steps++;
    this.#committed += tokens.length;
    this.#drafted += plan.parents.length - 1;
    this.#accepted += path.length - 1;
    this.#decodeSeconds += seconds;
    for (let depth = 1; depth <= plan.maxDepth; depth++) {
      this.#reached[depth - 1] = (this.#reached[depth - 1] ?? 0) + 1;
      this.#acceptedAt[depth - 1] = (this.#acceptedAt[depth - 1] ?? 0) + (path.length > depth ? 1 : 0);
    }
    for (const phase of PHASES) this.#phases[phase] += phases[phase];
  }

  /** Counts the tokens that the caller receives, without tokens after the end of the text. */
  emitted(tokens: number): void {
    this.#tokens += tokens;
  }

  get stats(): GenerateStats {
    const cumulative = this.#acceptedAt.map((accepted, i) => accepted / this.#reached[i]!);
    return {
      promptTokens: this.#promptTokens,
      tokens: this.#tokens,
      steps: this.#steps,
      tokensPerStep: this.#steps > 0 ? this.#committed / this.#steps : 0,
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
