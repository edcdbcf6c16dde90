import type { GeneratedPiece } from '../decode/output-limiter';
import { showsColours, type TextStream } from '../terminal';

/** By the number of accepted drafts in a step: none, one, two, more. */
const COLOURS = ['', '\u001b[36m', '\u001b[32m', '\u001b[33m'];
const RESET = '\u001b[0m';

/**
 * Writes a text while it is generated. With colours, the text of each step is coloured by its number of accepted drafts.
 * @param separator written after every step if there are no colours
 */
export async function showGeneration(
  pieces: AsyncIterable<GeneratedPiece>,
  out: TextStream,
  separator = '',
): Promise<void> {
  const isColoured = showsColours(out);
  for await (const { text, accepted } of pieces) {
    const colour = isColoured ? COLOURS[Math.min(accepted, COLOURS.length - 1)]! : '';
    out.write(colour ? `${colour}${text}${RESET}` : `${text}${isColoured ? '' : separator}`);
  }
}
