import type { Evaluation } from '../train/evaluate';

/** Formats a value; a dash if nothing was measured. */
const fixed = (value: number | null, digits: number): string => value?.toFixed(digits) ?? '-';
const percent = (share: number | null): string => (share === null ? '-' : `${(100 * share).toFixed(1)} %`);

/** Describes an evaluation on one line. */
export function summarizeEvaluation({ loss, perplexity, bitsPerByte, heads }: Evaluation): string {
  const parts = [`head 1: loss ${fixed(loss, 4)}`, `perplexity ${fixed(perplexity, 2)}`];
  if (bitsPerByte !== null) parts.push(`${bitsPerByte.toFixed(3)} bits per byte`);
  const accepted = heads.flatMap(({ acceptance }) => (acceptance ? [percent(acceptance.cumulative)] : []));
  if (accepted.length > 0) parts.push(`accepted ${accepted.join(', ')}`);
  return parts.join(', ');
}

/** Describes an evaluation as a table with one line for each head. */
export function describeEvaluation(evaluation: Evaluation): string {
  const { heads, bitsPerByte } = evaluation;
  const rows = heads.map(({ head, loss, perplexity, top1, top5, acceptance }) => [
    String(head),
    fixed(loss, 4),
    fixed(perplexity, 2),
    percent(top1),
    percent(top5),
    percent(acceptance?.conditional ?? null),
    percent(acceptance?.cumulative ?? null),
  ]);
  const titles = ['head', 'loss', 'perplexity', 'top-1', 'top-5', 'accepted', 'with all before'];
  const table = [titles, ...rows].map((row) =>
    row.map((cell, i) => cell.padStart(titles[i]!.length + 3)).join(''),
  );
  if (bitsPerByte !== null) table.push(`head 1: ${bitsPerByte.toFixed(3)} bits per byte`);
  const without = heads.flatMap(({ head, count }) => (count === 0 ? [head] : []));
  if (without.length > 0)
    table.push(`no targets for: head ${without.join(', ')}; every document is too short`);
  return table.join('\n');
}
