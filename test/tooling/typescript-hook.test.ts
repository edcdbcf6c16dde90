// What runs scripts in TypeScript keeps the JavaScript that it made, and must notice when that is of yesterday.
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

it('a script runs as it stands, the first time, again, and changed', async () => {
  for (const value of [0, 0, 1, 0]) {
    expect(await run(script(value))).toEqual({ code: 0, stdout: `${value}\n`, stderr: '' });
  }
});

it('errors name lines of the TypeScript', async () => {
  for (let time = 0; time < 2; time++) {
    const { code, stderr } = await run(script(2));
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${temporary.at('script.ts')}:5:`)]);
  }
});
