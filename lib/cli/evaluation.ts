import type { Evaluation } from '../train/evaluate';

const percent = (share: number): string => (Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)} %`);

/** An evaluation on one line. */
export function summarizeEvaluation({ loss, perplexity, bitsPerByte, heads }: Evaluation): string {
  const parts = [`loss ${loss.toFixed(4)}`, `perplexity ${perplexity.toFixed(2)}`];
  if (bitsPerByte !== null) parts.push(`${bitsPerByte.toFixed(3)} bits per byte`);
  const accepted = heads.flatMap(({ acceptance }) => (acceptance ? [percent(acceptance.cumulative)] : []));
  if (accepted.length > 0) parts.push(`accepted ${accepted.join(', ')}`);
  return parts.join(', ');
}

/** An evaluation as a table, a head on each line. */
export function describeEvaluation(evaluation: Evaluation): string {
  const { heads, bitsPerByte } = evaluation;
  const rows = heads.map(({ head, loss, perplexity, top1, top5, acceptance }) => [
    String(head),
    loss.toFixed(4),
    perplexity.toFixed(2),
    percent(top1),
    percent(top5),
    acceptance ? percent(acceptance.conditional) : '-',
    acceptance ? percent(acceptance.cumulative) : '-',
  ]);
  const titles = ['head', 'loss', 'perplexity', 'top-1', 'top-5', 'accepted', 'with all before'];
  const table = [titles, ...rows].map((row) =>
    row.map((cell, i) => cell.padStart(titles[i]!.length + 3)).join(''),
  );
  if (bitsPerByte !== null) table.push(`head 1: ${bitsPerByte.toFixed(3)} bits per byte`);
  return table.join('\n');
}
