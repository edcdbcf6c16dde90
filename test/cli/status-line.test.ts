import { describeCorpus, StatusLine } from '../../lib/cli/status-line';

describe('status line', () => {
  beforeEach(() => void jest.replaceProperty(process, 'env', { TERM: 'xterm' }));
  afterEach(() => jest.restoreAllMocks());

  const written = (
    isTTY: boolean,
    work: (line: StatusLine, pass: (milliseconds: number) => void) => void,
  ) => {
    const texts: string[] = [];
    let now = 1000;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now);
    try {
      const stream = { isTTY, columns: 12, write: (text: string) => texts.push(text) };
      work(new StatusLine(stream), (milliseconds) => (now += milliseconds));
    } finally {
      clock.mockRestore();
    }
    return texts;
  };
  const clear = '\r\u001b[K';

  it('is redrawn in a terminal, at most ten times a second, and cleared', () => {
    const texts = written(true, (line, pass) => {
      line.update('at once');
      pass(100);
      line.update('a text too long for the line');
      line.update('too soon');
      pass(150);
      line.update('later');
      line.clear();
      line.clear();
    });
    expect(texts).toEqual([`${clear}a text too `, `${clear}later`, clear]);
  });

  it.each([
    ['elsewhere', false, 'xterm'],
    ['in a terminal without cursor control', true, 'dumb'],
  ])('is a line every ten seconds %s', (_, isTTY, TERM) => {
    jest.replaceProperty(process, 'env', { TERM });
    const texts = written(isTTY, (line, pass) => {
      line.update('at once');
      pass(10_000);
      line.update('first');
      pass(9_999);
      line.update('too soon');
      pass(1);
      line.update('second');
      line.clear();
    });
    expect(texts).toEqual(['first\n', 'second\n']);
  });

  it('shows the progress of preparing a corpus', () => {
    const at = { bytes: 1 << 20, totalBytes: 3 << 20, documents: 2, tokens: 5 };
    expect(describeCorpus({ phase: 'reading', ...at })).toBe('reading text: 33 % of 3.0 MiB');
    expect(describeCorpus({ phase: 'tokenizing', ...at })).toBe(
      'tokenizing text: 33 % of 3.0 MiB, 5 tokens in 2 documents',
    );
    expect(describeCorpus({ phase: 'checking', ...at, bytes: 0, totalBytes: 0 })).toContain('100 %');
  });
});
