// The page that `npm run bench -- --html` writes.
import { drawChart, ticks } from '../../bench/chart';
import type { Result } from '../../bench/harness';
import { htmlReport } from '../../bench/html';

const result = (
  name: string,
  params: Result['params'],
  median: number,
  more: Partial<Result> = {},
): Result => ({
  ...{ name, params, median, unit: '×', spread: 0, ceiling: null, fraction: null },
  ...more,
});

test.each([
  [1, [0, 0.5, 1]],
  [0.9, [0, 0.5, 1]],
  [7, [0, 2, 4, 6, 8]],
  [4, [0, 1, 2, 3, 4]],
  [0.3, [0, 0.1, 0.2, 0.3]],
  [1234, [0, 500, 1000, 1500]],
  [0, [0, 1]],
])('an axis to %d', (highest, expected) => {
  expect(ticks(highest)).toEqual(expected);
});

test('a chart has its points at the right coordinates', () => {
  const points = [
    { x: 0, y: 0 },
    { x: 2, y: 4 },
    { x: 4, y: 1 },
  ];
  const svg = drawChart({ title: 'T', x: 'a', y: 'b', series: [{ name: 's', points }] });
  // x runs from left to right, y from the bottom at 272 to the top at 16.
  expect(svg).toContain('points="64,272 304,16 544,208"');
  expect(svg.match(/<circle/g)).toHaveLength(3);
});

test('results that differ only along the axis form one curve, named by its difference from other curves', () => {
  const page = htmlReport('a machine', [
    result('decoding-by-heads/loss', { n: 4, head: 2, dtype: 'float32' }, 1.5),
    result('decoding-by-heads/loss', { n: 4, head: 1, dtype: 'float32' }, 1),
    result('decoding-by-heads/loss', { n: 8, head: 1, dtype: 'float32' }, 1.2),
    result('decode-step/tree', { parameters: 5, nodes: 8 }, 0.01, { fraction: 1.25 }),
    result('machine/read', {}, 3e10),
  ]);
  expect(page).toContain('<h2>Loss by head, on held-out text</h2>');
  expect(page.match(/<polyline/g)).toHaveLength(3);
  expect(page).toMatch(/<li>.*n 4<\/li><li>.*n 8<\/li>/);
  expect(page).not.toContain('Acceptance by depth');
  expect(page).toContain('<td>machine/read</td>');
  expect(page).toContain('<td>1.25</td>');
});

test('a page needs no other file, and its contents are escaped', () => {
  const page = htmlReport('<b>&"', [result('<script>', { '<i>': '"' }, 1)]);
  expect(page).toContain('&lt;b&gt;&amp;&quot;');
  expect(page).not.toMatch(/<script|<i>|<b>|https?:|src=|href=/);
});
