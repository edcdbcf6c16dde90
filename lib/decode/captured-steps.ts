import { CapturedStep } from './captured-step';
import type { StepContext } from './step';
import { nameOf, type StepForm } from './step-form';

/** Most forms that are kept: more than the sizes of one text's trees, and few enough for their memory. */
const MOST = 64;

/** The captured steps of an engine by form; the ones used least recently make room for others. */
export class CapturedSteps implements Disposable {
  /** In the order of their last use. */
  readonly #steps = new Map<string, CapturedStep>();

  constructor(private readonly context: StepContext) {}

  /** Returns the step of a form. */
  of(form: StepForm): CapturedStep {
    const name = nameOf(form);
    const step = this.#steps.get(name) ?? new CapturedStep(this.context, form);
    this.#steps.delete(name);
    if (this.#steps.size >= MOST) this.#drop(this.#steps.keys().next().value!);
    this.#steps.set(name, step);
    return step;
  }

  /** Returns some captured step other than `step`. */
  neighbourOf(step: CapturedStep): CapturedStep | undefined {
    for (const other of this.#steps.values()) if (other !== step && other.captured) return other;
    return undefined;
  }

  #drop(name: string): void {
    this.#steps.get(name)!.dispose();
    this.#steps.delete(name);
  }

  dispose(): void {
    for (const name of [...this.#steps.keys()]) this.#drop(name);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
