// Runs the examples as README.md shows, each in a process and a working directory of its own.
import { existsSync } from 'node:fs';
import { startScript, type Ended } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';

jest.setTimeout(60_000);
const temporary = new TemporaryDirectory();

async function runExample(name: string, ...argv: string[]): Promise<Ended> {
  return startScript(`examples/${name}.ts`, argv, { cwd: temporary.path }).ended;
}

/** Finds all numbers after `label`. */
function numbersAfter(label: string, text: string): number[] {
  const list = '(-?[\\d.]+(?:[ ,]+-?[\\d.]+)*)';
  return [...text.matchAll(new RegExp(`${label} ${list}`, 'g'))].flatMap((found) =>
    found[1]!.split(/[ ,]+/).map(Number),
  );
}

it('loss-on-arrays prints the losses of plain arithmetic', async () => {
  const { code, stdout, stderr } = await runExample('loss-on-arrays');
  expect([code, stderr]).toEqual([0, '']);
  const [rows, dim, vocab] = [4, 3, 5];
  const targets = [1, 4, 0, -100, 2, 3, -100, -100];
  const logits = targets.map((_, row) =>
    Array.from({ length: vocab }, (__, token) =>
      [0, 1, 2].reduce((sum, i) => sum + Math.sin(row * dim + i) * Math.cos(token * dim + i), 0),
    ),
  );
  const lse = logits.map((row) => Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)));
  const nll = targets.map((target, row) => (target < 0 ? 0 : lse[row]! - logits[row]![target]!));
  const printed = numbersAfter('-log p of each target', stdout);
  expect(printed).toHaveLength(targets.length);
  printed.forEach((value, row) => expect(value).toBeCloseTo(nll[row]!, 3));

  const loss = [0, rows].reduce((sum, first) => {
    const valid = [0, 1, 2, 3].map((row) => first + row).filter((row) => targets[row]! >= 0);
    return sum + valid.reduce((total, row) => total + nll[row]! + 1e-4 * lse[row]! ** 2, 0) / valid.length;
  }, 0);
  expect(numbersAfter('loss', stdout)[0]).toBeCloseTo(loss, 3);
  expect(stdout.match(/^0\.0000 {2}0\.0000 {2}0\.0000$/gm)).toHaveLength(3); // rows without a target
});

it('train learns and saves a model; stream generates with the model', async () => {
  const trained = await runExample('train');
  expect([trained.code, trained.stderr]).toEqual([0, '']);
  const losses = numbersAfter('loss', trained.stdout);
  expect(losses).toHaveLength(5);
  expect(losses.at(-1)).toBeLessThan(losses[0]!);
  // Random bytes need 8 bits.
  expect(numbersAfter('held-out text:', trained.stdout)[0]).toBeLessThan(5);
  const checkpoint = /^the model is in (.+)$/m.exec(trained.stdout)![1]!;
  expect(existsSync(temporary.at(`${checkpoint}/model.safetensors`))).toBe(true);

  const { code, stdout, stderr } = await runExample('stream', '.foretoken/example/run');
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout.startsWith('    interface Node {\n')).toBe(true);
  expect(stdout).toMatch(/\n\d+ tokens\/s, \d\.\d\d tokens per step, ended by (length|stop|eos)\n$/);
});

it('stream says which model is missing', async () => {
  const { code, stdout, stderr } = await runExample('stream', 'no/such/model');
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toBe('cannot read no/such/model: no such file or directory\n');
});

it('head-kind trains the new heads, and their drafts are accepted', async () => {
  const { code, stdout, stderr } = await runExample('head-kind');
  expect([code, stderr]).toEqual([0, '']);
  const losses = numbersAfter('losses of heads 1, 2, 3 in nats:', stdout);
  for (const loss of losses.slice(0, 3)) expect(loss).toBeGreaterThan(4);
  for (const loss of losses.slice(-3)) expect(loss).toBeLessThan(0.5);
  expect(Number(/(\d\.\d\d) tokens per step/.exec(stdout)![1])).toBeGreaterThan(1.5);
});
