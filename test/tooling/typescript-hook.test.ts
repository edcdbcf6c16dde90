// scripts/typescript-hook.js keeps the JavaScript of a script, and must notice when the script has changed.
import { startScript, type Ended } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();

async function run(text: string): Promise<Ended> {
  return startScript(temporary.write('script.ts', text)).ended;
}

const script = (value: number): string => `
  interface Held { value: number }
  const held: Held = { value: ${value} };
  console.log(held.value);
  if (held.value > 1) throw new Error('too much');
`;

it('the current text of a script runs the first time, again, and after a change', async () => {
  for (const value of [0, 0, 1, 0]) {
    expect(await run(script(value))).toEqual({ code: 0, stdout: `${value}\n`, stderr: '' });
  }
});

it('errors name the lines of the TypeScript file, also from the cache', async () => {
  for (let time = 0; time < 2; time++) {
    const { code, stderr } = await run(script(2));
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${temporary.at('script.ts')}:5:`)]);
  }
});
