// Trains README's first model with README's commands: most drafts are accepted, and the text is that of plain decoding.
import { runCli } from '../support/cli';
import { readmeCommands } from '../support/readme';
import { TemporaryDirectory } from '../support/temporary';

jest.setTimeout(900_000);
const temporary = new TemporaryDirectory();

it('speculates, and writes the text of plain decoding', async () => {
  const [training, speculative, plain] = readmeCommands().map((words) =>
    words.map((word) => word.replace(/^runs\//, `${temporary.path}/`)),
  );
  const trained = await runCli(...training!);
  expect([trained.code, trained.stdout]).toEqual([0, expect.stringContaining('trained')]);

  const decoded = [await runCli(...speculative!), await runCli(...plain!)];
  const tokensPerStep = decoded.map(({ stderr }) => Number(/([\d.]+) tokens per step/.exec(stderr)![1]));
  expect(tokensPerStep[0]).toBeGreaterThan(2.5);
  expect(tokensPerStep[1]).toBe(1);
  expect(decoded[0]!.stdout).toBe(decoded[1]!.stdout);
  expect(decoded[0]!.stdout.length).toBeGreaterThan(100);
});
