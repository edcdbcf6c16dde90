import { showGeneration } from '../../lib/cli/show-generation';
import { generate } from '../../lib/decode/generate';
import type { GenerateOptions } from '../../lib/decode/options';
import type { MtpModel } from '../../lib/model/model';
import type { Tokenizer } from '../../lib/model/tokenizer';
import { showsColours } from '../../lib/terminal';

/** Number of bytes of the prompt to show. */
const SHOWN = 120;

/** Prints the end of a prompt and streams its continuation. Colours separate steps on a terminal, bars elsewhere. */
export async function stream(
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: string,
  options: GenerateOptions,
): Promise<void> {
  const out = process.stdout;
  out.write(showsColours(out) ? `\u001b[2m${prompt.slice(-SHOWN)}\u001b[0m` : `${prompt.slice(-SHOWN)}|`);
  await showGeneration(generate(model, tokenizer, prompt, options), out, '|');
  out.write('\n');
}

/** Formats rows as a table with aligned columns. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))),
    )
    .map((cells) => `  ${cells.join('  ')}`)
    .join('\n');
}
