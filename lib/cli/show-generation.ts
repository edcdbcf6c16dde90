import type { GeneratedPiece } from '../decode/generate';

/** Where text is shown: a terminal or anything else that takes it. */
export interface TextStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** By the number of accepted drafts in a step: none, one, two, more. */
const COLOURS = ['', '\u001b[36m', '\u001b[32m', '\u001b[33m'];
const RESET = '\u001b[0m';

/**
 * Writes a text as it is made. On a terminal what a step committed at once is coloured by how much was guessed ahead.
 * @param separator written behind every step elsewhere
 */
export async function showGeneration(
  pieces: AsyncIterable<GeneratedPiece>,
  out: TextStream,
  separator = '',
): Promise<void> {
  for await (const { text, accepted } of pieces) {
    const colour = COLOURS[Math.min(accepted, COLOURS.length - 1)]!;
    out.write(out.isTTY && colour ? `${colour}${text}${RESET}` : `${text}${out.isTTY ? '' : separator}`);
  }
}
