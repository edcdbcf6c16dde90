import { drawChart, escapeHtml, type Chart, type Series } from './chart';
import { withUnit, type Result } from './harness';

/** Chooses the results for a chart. */
interface Curves {
  title: string;
  /** The name of the results. */
  name: string;
  /** The parameter along the x axis. */
  along: string;
  x: string;
  y: string;
  /** A parameter that follows from the one along the axis, so curves are not separated by it. */
  follows?: string;
  /** Returns the number to draw. */
  value: (result: Result) => number;
}

const CURVES: readonly Curves[] = [
  {
    title: 'Loss by head, on held-out text',
    ...{ name: 'decoding-by-heads/loss', along: 'head', x: 'head', y: 'nats a token' },
    value: ({ median }) => median,
  },
  {
    title: 'Acceptance by depth, on held-out text',
    ...{
      name: 'decoding-by-heads/acceptance',
      along: 'depth',
      x: 'drafts in a row',
      y: 'all accepted, share',
    },
    value: ({ median }) => median,
  },
  {
    title: 'Step time by tree size',
    ...{ name: 'decode-step/tree', along: 'nodes', x: 'nodes', y: 'plain steps' },
    value: ({ fraction }) => fraction!,
  },
  {
    title: 'Speed by tree size',
    ...{
      name: 'decoding-by-heads/against-plain',
      along: 'drafts',
      x: 'drafts in a step',
      y: 'times plain speed',
      follows: 'heads',
    },
    value: ({ median }) => median,
  },
  {
    title: 'Peak memory of the loss by heads',
    ...{ name: 'linear-cross-entropy/scratch', along: 'n', x: 'heads', y: 'MiB' },
    value: ({ median }) => median / 2 ** 20,
  },
  {
    title: 'Peak memory of a training step by heads',
    ...{ name: 'train-step/activations', along: 'n', x: 'heads', y: 'MiB' },
    value: ({ median }) => median / 2 ** 20,
  },
];

/** Groups results of one name into curves; results that differ only in the parameter along the axis form one curve. */
function chartOf(
  { title, name, along, x, y, follows, value }: Curves,
  results: readonly Result[],
): Chart | null {
  const own = results.filter((result) => result.name === name && typeof result.params[along] === 'number');
  const series = new Map<string, { x: number; y: number }[]>();
  // Parameters that all results share are left out of the legend.
  const shared = (key: string): boolean => new Set(own.map(({ params }) => params[key])).size === 1;
  for (const result of own) {
    const { [along]: at, ...rest } = result.params;
    const label = Object.entries(rest)
      .filter(([key]) => !shared(key) && key !== follows)
      .map(([key, given]) => `${key} ${given}`)
      .join(', ');
    const points = series.get(label) ?? series.set(label, []).get(label)!;
    points.push({ x: at as number, y: value(result) });
  }
  if (series.size === 0) return null;
  const sorted = [...series].map(([label, points]): Series => ({
    name: label || title,
    points: points.toSorted((a, b) => a.x - b.x),
  }));
  return { title, x, y, series: sorted };
}

/** Makes a self-contained page with the curves and a table of all results. */
export function htmlReport(description: string, results: readonly Result[]): string {
  const charts = CURVES.map((curves) => chartOf(curves, results)).filter((chart) => chart !== null);
  const cells = (values: readonly string[], tag: string): string =>
    `<tr>${values.map((value) => `<${tag}>${escapeHtml(value)}</${tag}>`).join('')}</tr>`;
  const rows = results.map(({ name, params, median, spread, unit, fraction }) => {
    const given = Object.entries(params).map(([key, value]) => `${key}=${value}`);
    const about = `± ${(100 * spread).toFixed(0)} %`;
    return cells([name, given.join(' '), withUnit(median, unit), about, fraction?.toFixed(2) ?? ''], 'td');
  });
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>foretoken: benchmarks</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1.5rem }
h2 { font-size: 1rem }
svg { width: 100%; font-size: 12px }
.grid { stroke: #ddd }
ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1rem }
li span { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em }
table { border-collapse: collapse; margin-top: 2rem; width: 100% }
th, td { text-align: left; padding: 0.2rem 0.6rem; border-bottom: 1px solid #eee }
</style>
<h1>foretoken: benchmarks</h1>
<p>${escapeHtml(description)}</p>
<main>
${charts.map(drawChart).join('\n')}
</main>
<table>
${cells(['name', 'parameters', 'median', 'spread', 'of the ceiling'], 'th')}
${rows.join('\n')}
</table>
</html>
`;
}
