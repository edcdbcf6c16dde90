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

  /** Number of forms that are kept. */
  get size(): number {
    return this.#steps.size;
  }

  /** Returns the step of a form, and whether it is new. */
  of(form: StepForm): { step: CapturedStep; isNew: boolean } {
    const name = nameOf(form);
    const known = this.#steps.get(name);
    const step = known ?? new CapturedStep(this.context, form);
    this.#steps.delete(name);
    if (this.#steps.size >= MOST) this.#drop(this.#steps.keys().next().value!);
    this.#steps.set(name, step);
    return { step, isNew: known === undefined };
  }

  /** Returns some captured step other than `step`. */
  neighbourOf(step: CapturedStep): CapturedStep | undefined {
    for (const other of this.#steps.values()) if (other !== step && other.captured) return other;
    return undefined;
  }

  /** Forgets all steps, because tensors that they read have been replaced. */
  clear(): void {
    for (const name of [...this.#steps.keys()]) this.#drop(name);
  }

  #drop(name: string): void {
    this.#steps.get(name)!.dispose();
    this.#steps.delete(name);
  }

  dispose(): void {
    this.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
