import type { TrunkStates } from '../model/model';
import type { Tensor } from '../tensor/tensor';

/** Runs heads 2 … depth+1 on committed positions and proposes tokens for the next tree. */
export interface Drafter extends Disposable {
  /**
   * Whether `see` and `draft` enqueue the same operations every time, so that a step can capture them. Other drafters work
   * on the positions that they learn in `commit`.
   */
  readonly capturable: boolean;
  /** Number of heads that draft. */
  readonly depth: number;
  /** Reads the states of a step's nodes, before the host knows which of them are accepted. */
  see(states: TrunkStates): void;
  /**
   * Adds committed positions. The drafter only gathers them until the next `draft`, so steps without a draft cost nothing.
   * @param path indices of the committed states
   * @param tokens tokens[i] follows the position of state path[i]; the last token is the root of the next tree
   */
  commit(states: TrunkStates, path: readonly number[], tokens: Int32Array): void;
  /**
   * Returns int32 [1, drafted, width]: the likeliest tokens of each depth, best first. `drafted` is at least `depth`; drafters
   * that gather positions run all their heads, because each head must read every position.
   */
  draft(depth: number, width: number): Tensor;
  /** Forgets the text. */
  reset(): void;
  dispose(): void;
}
