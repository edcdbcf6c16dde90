import { showGeneration } from '../../lib/cli/show-generation';
import { generate } from '../../lib/decode/generate';
import type { GenerateOptions } from '../../lib/decode/options';
import type { MtpModel } from '../../lib/model/model';
import type { Tokenizer } from '../../lib/model/tokenizer';
import { showsColours } from '../../lib/terminal';

/** Bytes of the prompt that are shown. */
const SHOWN = 120;

/** Streams a continuation behind the end of its prompt; steps are told apart by colours on a terminal, elsewhere by bars. */
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
