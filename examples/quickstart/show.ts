import { generate } from '../../lib/decode/generate';
import type { GenerateOptions } from '../../lib/decode/options';
import type { MtpModel } from '../../lib/model/model';
import type { Tokenizer } from '../../lib/model/tokenizer';

/** Colours of pieces on a terminal: committed one by one, or in runs that were guessed ahead. */
const COLOURS = ['\u001b[0m', '\u001b[36m', '\u001b[32m', '\u001b[33m'];
const DIM = '\u001b[2m';
const RESET = '\u001b[0m';

/** Streams a continuation; on a terminal every step has a colour by the number of accepted drafts, elsewhere bars. */
export async function stream(
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: string,
  options: GenerateOptions,
): Promise<void> {
  const out = process.stdout;
  out.write(out.isTTY ? `${DIM}${prompt.slice(-120)}${RESET}` : prompt.slice(-120));
  for await (const { text, accepted } of generate(model, tokenizer, prompt, options)) {
    out.write(out.isTTY ? `${COLOURS[Math.min(accepted, 3)]}${text}${RESET}` : `${text}|`);
  }
  out.write('\n');
}

/** Rows of a table with aligned columns. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))),
    )
    .map((cells) => `  ${cells.join('  ')}`)
    .join('\n');
}
