import { Progress } from '../../lib/cli/progress';

beforeEach(() => {
  jest.useFakeTimers();
  jest.replaceProperty(process, 'env', { TERM: 'xterm' });
});
afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

function stream(isTTY: boolean, columns?: number) {
  const written: string[] = [];
  return { isTTY, columns, written, write: (text: string) => written.push(text) };
}

/** Runs steps of 1000 tokens that take `milliseconds` each. */
function run(progress: Progress, from: number, to: number, milliseconds: number): void {
  for (let step = from; step <= to; step += 1) {
    jest.advanceTimersByTime(milliseconds);
    progress.update({ step, loss: 4 / step, headLosses: [3 / step, null], tokens: 1000 });
  }
}

describe('progress', () => {
  it('shows step, loss, rate and time left', () => {
    const out = stream(false);
    run(new Progress(241, out), 1, 1, 500);
    expect(out.written).toEqual([
      'step 1/241  weighted loss 4.0000  head 1 3.0000  2.0k tokens/s  2m 0s left\n',
    ]);
  });

  it('writes a line to a file every ten seconds, and at the end', () => {
    const out = stream(false);
    const progress = new Progress(250, out);
    run(progress, 1, 250, 100);
    progress.finish();
    expect(out.written.map((line) => /step (\d+)/.exec(line)![1])).toEqual(['1', '101', '201', '250']);
    expect(out.written.join('')).not.toContain('\r');
  });

  it('redraws in place in a terminal, at most ten times a second, and at the end', () => {
    const out = stream(true, 100);
    const progress = new Progress(1000, out);
    run(progress, 1, 1000, 1);
    progress.finish();
    expect(out.written).toHaveLength(1 + 9 + 1 + 1);
    expect(
      out.written.slice(0, -1).every((text) => text.startsWith('\r\u001b[K[') && !text.includes('\n')),
    ).toBe(true);
    expect(out.written.at(-1)).toBe('\n');
    expect(out.written.at(-2)).toContain(`[${'='.repeat(20)}] step 1000/1000`);
  });

  it('fills its bar', () => {
    const out = stream(true, 120);
    run(new Progress(2, out), 1, 1, 1000);
    expect(out.written[0]).toContain(`[${'='.repeat(12)}${' '.repeat(12)}]`);
  });

  it('never fills a line of the terminal', () => {
    for (const columns of [1, 20, 40, 200]) {
      const out = stream(true, columns);
      const progress = new Progress(10, out);
      run(progress, 1, 1, 1000);
      jest.advanceTimersByTime(1000);
      progress.evaluating({ rows: 1, of: 100_000 });
      for (const text of out.written) expect(text.replace('\r\u001b[K', '').length).toBeLessThan(columns);
    }
  });

  it('keeps bar, step and time left in narrow terminals, and losses if they fit', () => {
    const shown = (columns: number): string => {
      const out = stream(true, columns);
      const progress = new Progress(123_456, out, 99_999);
      run(progress, 100_000, 100_000, 1000);
      return out.written[0]!.replace('\r\u001b[K', '');
    };
    const step = 'step 100000/123456';
    expect(shown(120)).toBe(
      `[${'='.repeat(19)}     ] ${step}  weighted loss 0.0000  head 1 0.0000  1.0k tokens/s  6h 30m left`,
    );
    expect(shown(80)).toBe(`[${'='.repeat(19)}     ] ${step}  head 1 0.0000  6h 30m left`);
    expect(shown(90)).toBe(
      `[${'='.repeat(15)}   ] ${step}  weighted loss 0.0000  head 1 0.0000  6h 30m left`,
    );
    expect(shown(46)).toBe(`[=========  ] ${step}  6h 30m left`);
    expect(shown(40)).toBe(`${step}  6h 30m left`);
    // Some terminals report a width of 0.
    expect(shown(0)).toBe(shown(80));
  });

  it('writes lines to a terminal without cursor control, as to a file', () => {
    jest.replaceProperty(process, 'env', { TERM: 'dumb' });
    const out = stream(true, 80);
    const progress = new Progress(250, out);
    progress.note('before');
    run(progress, 1, 250, 100);
    jest.advanceTimersByTime(10_000);
    progress.evaluating({ rows: 1, of: 2 });
    progress.finish();
    expect(out.written).toHaveLength(1 + 4 + 1);
    expect(out.written.at(-1)).toBe('evaluating: 1 of 2 rows\n');
    expect(out.written.every((text) => text.endsWith('\n'))).toBe(true);
    expect(out.written.join('')).not.toContain('\r');
    expect(out.written[1]).toContain('weighted loss 4.0000  head 1 3.0000  10.0k tokens/s');
  });

  it('shows a change of speed within a minute', () => {
    const out = stream(false);
    const progress = new Progress(100_000, out);
    run(progress, 1, 60, 1000);
    expect(out.written.at(-1)).toContain('1.0k tokens/s');
    run(progress, 61, 661, 100);
    const rate = Number(/([\d.]+)k tokens/.exec(out.written.at(-1)!)![1]);
    expect(rate).toBeGreaterThan(4);
    expect(rate).toBeLessThan(10.1);
  });

  it('does not count the steps before a resumed run', () => {
    const out = stream(false);
    run(new Progress(5003, out, 5000), 5001, 5001, 1000);
    expect(out.written).toEqual([
      'step 5001/5003  weighted loss 0.0008  head 1 0.0006  1.0k tokens/s  2s left\n',
    ]);
  });

  it('shows long times in hours and days, and large rates in millions', () => {
    const left = (steps: number) => {
      const out = stream(false);
      run(new Progress(steps + 1, out), 1, 1, 1000);
      return /\S+( \S+)? left/.exec(out.written[0]!.split('  ').at(-1)!)![0];
    };
    expect([left(59), left(60), left(3661), left(90_000)]).toEqual([
      '59s left',
      '1m 0s left',
      '1h 1m left',
      '1d 1h left',
    ]);
    const out = stream(false);
    const progress = new Progress(9, out);
    jest.advanceTimersByTime(1);
    progress.update({ step: 1, loss: NaN, headLosses: [null, 1], tokens: 2500 });
    expect(out.written[0]).toContain('weighted loss NaN  2.50M tokens/s');
  });

  it('writes notes above the bar', () => {
    const out = stream(true);
    const progress = new Progress(2, out);
    progress.note('before');
    run(progress, 1, 1, 1000);
    progress.note('saved');
    expect(out.written[0]).toBe('\r\u001b[Kbefore\n');
    expect(out.written[2]).toBe(`\r\u001b[Ksaved\n${out.written[1]!.replace('\r\u001b[K', '')}`);
    const plain = stream(false);
    new Progress(2, plain).note('saved');
    expect(plain.written).toEqual(['saved\n']);
  });

  it('shows the last state when a run ends early', () => {
    for (const isTTY of [true, false]) {
      const out = stream(isTTY);
      const progress = new Progress(100, out);
      run(progress, 1, 3, 10);
      progress.finish();
      expect(out.written.join('')).toContain('step 3/100');
      expect(out.written.at(-1)!.endsWith('\n')).toBe(true);
    }
    const untouched = stream(true);
    new Progress(100, untouched).finish();
    expect(untouched.written).toEqual([]);
  });
});
