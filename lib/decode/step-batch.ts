import type { TokenConstraint } from './constraint';
import type { DraftTree } from './draft-tree';
import type { Sequence } from './sequence';

/** The rows that a sequence contributes to a step: a draft tree, or a piece of its prompt, which is a chain. */
export interface Part extends DraftTree {
  readonly sequence: Sequence;
  /** Whether the rows are a piece of the prompt, at which nothing is drawn. */
  readonly isPiece: boolean;
  /** `[nodes]`: which tokens may follow each node; null if every token may. */
  readonly constraints: readonly TokenConstraint[] | null;
}

/** The rows of a step, one slot after another, with padding rows at the end. */
export interface StepBatch {
  /** [rows] */
  readonly tokens: Int32Array;
  /** [rows] */
  readonly positions: Int32Array;
  /** [rows]: parents, counted from the first row of the batch. */
  readonly parents: Int32Array;
  /** [slots + 1]: first row of each slot, then the first padding row. */
  readonly rowOffsets: Int32Array;
  /** [slots]: committed positions. */
  readonly lengths: Int32Array;
  /** [slots]: tokens of prompt and output. */
  readonly textLengths: Int32Array;
  /** [slots]: tokens of the prompt. */
  readonly promptLengths: Int32Array;
}

/** Counts the rows of some parts. */
export function countRows(parts: readonly Part[]): number {
  let rows = 0;
  for (const { tokens } of parts) rows += tokens.length;
  return rows;
}

/**
 * Lays the rows of some parts out one after another.
 * @param parts in ascending order of their slots
 * @param lengths committed positions of all slots, also of those without rows
 */
export function layOut(parts: readonly Part[], lengths: Int32Array, batch: StepBatch): void {
  const { rowOffsets } = batch;
  batch.lengths.set(lengths.subarray(0, batch.lengths.length));
  let row = 0;
  let next = 0;
  for (const { sequence, tokens, parents, depths } of parts) {
    const { slot, length } = sequence;
    while (next <= slot) rowOffsets[next++] = row;
    batch.textLengths[slot] = sequence.tokens.length;
    batch.promptLengths[slot] = sequence.promptLength;
    const first = row;
    for (let node = 0; node < tokens.length; node++, row++) {
      batch.tokens[row] = tokens[node]!;
      batch.positions[row] = length + depths[node]!;
      batch.parents[row] = parents[node]! < 0 ? -1 : first + parents[node]!;
    }
  }
  rowOffsets.fill(row, next);
  for (const each of [batch.tokens, batch.positions, batch.parents]) each.fill(0, row);
}

/** Returns the rows of a slot. */
export function rowsOfSlot({ rowOffsets }: StepBatch, slot: number): number[] {
  const first = rowOffsets[slot]!;
  return Array.from({ length: rowOffsets[slot + 1]! - first }, (_, i) => first + i);
}
