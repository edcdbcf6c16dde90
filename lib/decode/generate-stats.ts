import { PHASES, type PhaseSeconds } from './step-clock';
import type { StepReport } from './step-report';
import type { TreePlan } from './tree-plan';

/** Why a text ended: `maxTokens` or the model's positions reached, the end-of-text token, or a stop string. */
export type FinishReason = 'length' | 'eos' | 'stop';

/** What a generation did and what it took, in the field's terms. */
export interface GenerateStats {
  /** Tokens of the prompt. */
  promptTokens: number;
  /** Tokens generated. */
  tokens: number;
  /** Verify forwards. */
  steps: number;
  /** Tokens committed per verify forward: accepted drafts plus the one that verify draws; plain decoding has 1. */
  tokensPerStep: number;
  /** Draft nodes verified. */
  drafted: number;
  /** How many of them were accepted. */
  accepted: number;
  /** `[d-1]`: of the steps whose tree reached depth d, the share that accepted depth d. */
  cumulativeAcceptance: number[];
  /** `[d-1]`: the same, of the steps that accepted depth d-1. */
  conditionalAcceptance: number[];
  /** Device time of each part of the steps. */
  phaseSeconds: PhaseSeconds;
  /** Wall-clock time of reading the prompt. */
  prefillSeconds: number;
  /** Wall-clock time of all steps. */
  decodeSeconds: number;
  /** `tokens` over `decodeSeconds`: the prompt's time is not part of it. */
  tokensPerSecond: number;
  /** Null while the text goes on, and when it was aborted. */
  finishReason: FinishReason | null;
}

/** Counts as a generation goes on. */
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

  /** Tokens handed out; those cut off behind an end are not. */
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
