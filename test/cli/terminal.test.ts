import { showGeneration } from '../../lib/cli/show-generation';
import type { GeneratedPiece } from '../../lib/decode/output-limiter';

const environment = (values: NodeJS.ProcessEnv): unknown => jest.replaceProperty(process, 'env', values);
beforeEach(() => environment({ TERM: 'xterm' }));
afterEach(() => jest.restoreAllMocks());

class Screen {
  text = '';
  constructor(readonly isTTY: boolean) {}
  write(text: string): void {
    this.text += text;
  }
}

async function* pieces(): AsyncGenerator<GeneratedPiece> {
  yield { text: 'a', tokens: [1], accepted: 0 };
  yield { text: 'bc', tokens: [2, 3], accepted: 1 };
}

async function shown(isTTY: boolean): Promise<string> {
  const screen = new Screen(isTTY);
  await showGeneration(pieces(), screen, '|');
  return screen.text;
}

it('colours accepted drafts in a terminal, unless NO_COLOR is set or the terminal has no colours', async () => {
  expect(await shown(true)).toBe('a\u001b[36mbc\u001b[0m');
  expect(await shown(false)).toBe('a|bc|');
  environment({ TERM: 'xterm', NO_COLOR: '1' });
  expect(await shown(true)).toBe('a|bc|');
  // An empty value has no effect.
  environment({ TERM: 'xterm', NO_COLOR: '' });
  expect(await shown(true)).toBe('a\u001b[36mbc\u001b[0m');
  environment({ TERM: 'dumb' });
  expect(await shown(true)).toBe('a|bc|');
});
