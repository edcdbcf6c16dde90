import { firstDrafts } from './best-first';
import type { DraftBudget, DraftChoice } from './draft-budget';
import type { StepResult, StepWork } from './engine';
import type { Drafted, Text } from './text';

/** A text with its drafts for the next step. */
export interface DraftedText {
  readonly text: Text;
  readonly drafted: Drafted;
}

/** Divides the rows of a step among its texts, and learns from the time that the step takes. */
export class StepPlanner {
  /** The choice for the present step; null if it has texts that do not adapt, so that its time says nothing about the choice. */
  #choice: DraftChoice | null = null;
  #wantsDrafts = false;

  constructor(private readonly budget: DraftBudget) {}

  /** Returns what the next step shall do for each text. */
  plan(texts: readonly DraftedText[]): StepWork[] {
    const adaptive = texts.flatMap(({ drafted }) =>
      drafted.kind === 'candidates' ? [drafted.candidates] : [],
    );
    const choice = adaptive.length > 0 ? this.budget.choose(adaptive) : null;
    this.#choice = adaptive.length === texts.length ? choice : null;
    this.#wantsDrafts = this.budget.wantsDrafts;
    let next = 0;
    return texts.map(({ text, drafted }) => {
      if (drafted.kind === 'tree') return text.work(drafted.tree, true);
      return text.work(firstDrafts(drafted.candidates, choice!.drafts[next++]!), this.#wantsDrafts);
    });
  }

  /** @param seconds wall-clock time of the step */
  observe({ outcomes, seconds: phases, isUnusual }: StepResult, seconds: number): void {
    if (!this.#choice || outcomes.some(({ kind }) => kind !== 'drawn')) return;
    this.budget.observe({
      choice: this.#choice,
      seconds,
      deviceSeconds: phases.forward + phases.verify + phases.commit,
      draftSeconds: this.#wantsDrafts ? phases.draft : null,
      isFirst: isUnusual,
    });
  }
}
