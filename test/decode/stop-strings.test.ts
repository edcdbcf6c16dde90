import fc from 'fast-check';
import { StopStrings } from '../../lib/decode/stop-strings';

function feed(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const finder = new StopStrings(stops);
  let text = '';
  for (const piece of pieces) {
    const shown = finder.push(piece);
    text += shown.text;
    if (shown.stopped) return { text, stopped: true };
  }
  return { text: text + finder.flush(), stopped: false };
}

describe('StopStrings', () => {
  it('cuts right before the stop string', () => {
    expect(feed(['END'], ['one EN', 'D two'])).toEqual({ text: 'one ', stopped: true });
  });

  it('returns text that only began like a stop string', () => {
    expect(feed(['END'], ['one EN', 'E two'])).toEqual({ text: 'one ENE two', stopped: false });
  });

  it('cuts at the earliest of several stop strings', () => {
    expect(feed(['b', 'a'], ['xaxb'])).toEqual({ text: 'x', stopped: true });
  });

  it('holds back only text that may become a stop string', () => {
    const finder = new StopStrings(['aab']);
    expect(finder.push('xaa')).toEqual({ text: 'x', stopped: false });
    expect(finder.push('a')).toEqual({ text: 'a', stopped: false });
    expect(finder.push('b')).toEqual({ text: '', stopped: true });
  });

  it('ignores empty stop strings', () => {
    expect(feed([''], ['abc'])).toEqual({ text: 'abc', stopped: false });
  });

  it('returns exactly the text before the first stop string', () => {
    const letters = (minLength: number, maxLength: number) =>
      fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength, maxLength });
    fc.assert(
      fc.property(fc.array(letters(0, 30)), fc.array(letters(1, 4)), (pieces, stops) => {
        const text = pieces.join('');
        const shown = feed(stops, pieces);
        expect(shown.stopped).toBe(stops.some((stop) => text.includes(stop)));
        expect(text.startsWith(shown.text)).toBe(true);
        expect(stops.filter((stop) => shown.text.includes(stop))).toEqual([]);
        if (!shown.stopped) expect(shown.text).toBe(text);
      }),
    );
  });
});
