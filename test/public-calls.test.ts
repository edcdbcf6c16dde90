// Every public function and constructor refuses unknown and misspelt options, wrong types and missing arguments at the call, by name.
// A new export must be added to test/support/public-calls.ts.
import { cpSync } from 'node:fs';
import fc from 'fast-check';
import * as foretoken from '../lib';
import { NOT_CALLED, publicCalls, type PublicCall, type Stage } from './support/public-calls';
import { TemporaryDirectory } from './support/temporary';
import { tinyCorpus, tinyModel, tokenizer } from './support/training';

const temporary = new TemporaryDirectory();
let stage: Stage;

const before = process.cwd();

beforeEach(async () => {
  // For files with made-up paths.
  process.chdir(temporary.path);
  const device = foretoken.openDevice('cpu', { threads: 1, memoryLimit: 512e6 });
  const model = new foretoken.MtpModel(device, { vocabSize: 300, ...tinyModel('medusa', 3) }, { seed: 1 });
  model.tables.reserve(16);
  const saved = temporary.at('saved');
  await foretoken.saveModel(saved, model, tokenizer);
  // The model to download is in the cache already.
  const folder = 'hub/models--owner--tiny';
  const commit = 'c'.repeat(40);
  temporary.write(`${folder}/refs/main`, commit);
  cpSync(saved, temporary.at(`${folder}/snapshots/${commit}`), { recursive: true });
  const offline = { HF_HUB_OFFLINE: '1', HF_HUB_CACHE: temporary.at('hub') };
  jest.replaceProperty(process, 'env', { ...process.env, ...offline });
  const store = new foretoken.ParameterStore(device);
  stage = {
    device,
    model,
    store,
    data: await tinyCorpus(temporary.path),
    directory: temporary.at('new'),
    saved,
  };
});

afterEach(async () => {
  process.chdir(before);
  jest.restoreAllMocks();
  await stage.data.close();
  stage.device.dispose();
});

/** Returns the error that a call throws or rejects with; undefined if the call succeeds, whose result is then freed. */
async function failure({ call, args }: PublicCall): Promise<unknown> {
  const given = Object.values(args);
  try {
    const result: unknown = await call(...(given as never[]));
    if (result instanceof foretoken.LanguageModel && result.model === stage.model) return undefined;
    if (result instanceof foretoken.TokenFile) await result.close();
    else if (typeof result === 'object' && result !== null && !given.includes(result)) {
      for (const each of [result, ...Object.values(result)]) if (isDisposable(each)) each.dispose();
    }
    return undefined;
  } catch (error) {
    return error;
  }
}

function isDisposable(value: unknown): value is { dispose(): void } {
  const kept: unknown[] = [stage.device, stage.model, stage.store, tokenizer];
  return typeof (value as { dispose?: unknown } | null)?.dispose === 'function' && !kept.includes(value);
}

const thrower = (): never => {
  throw new RangeError('not to be read');
};
const trap = new Proxy(
  {},
  {
    get: thrower,
    has: thrower,
    ownKeys: thrower,
    getPrototypeOf: thrower,
    getOwnPropertyDescriptor: thrower,
  },
);

/** Values that no argument allows. */
const wrong = (): [string, unknown][] => [
  ['a symbol', Symbol('x')],
  ['a proxy that throws', trap],
  ['NaN', NaN],
  ['a date', new Date()],
];

/** Values that some arguments allow and others do not. */
const doubtful = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    '',
    'text',
    true,
    -1,
    0.5,
    2 ** 53,
    -Infinity,
    10n ** 30n,
    [],
    {},
    [{}],
    [NaN],
  ),
  fc.constantFrom<unknown>(
    new Map(),
    new Float64Array(2),
    Object.create(null),
    () => 1,

    /x/,
  ),
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withTypedArray: true,
    withSparseArray: true,
  }),
);

/** Expects a ForetokenError that names the argument, not an error of JavaScript or of the code. */
function expectRefusal(error: unknown, name: string, argument: string): void {
  expect(error).toMatchObject({ name: 'ForetokenError' });
  const { code, message } = error as foretoken.ForetokenError;
  expect(['INVALID_ARGUMENT', 'INVALID_CONFIG']).toContain(code);
  expect(message).toContain(
    name.split(/[:.]/)[0]!.toLowerCase() === 'mtpmodel' ? 'model' : name.split(':')[0]!,
  );
  expect(message.toLowerCase()).toContain(argument.toLowerCase());
}

/** Spells the name of an option in another way. */
const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) + '_';

test('every public function has an entry', () => {
  const functions = Object.entries(foretoken).filter(([, value]) => typeof value === 'function');
  const covered = new Set(Object.keys(publicCalls(stage)).map((name) => name.split(/[.:]/)[0]!));
  const missing = functions
    .map(([name]) => name)
    .filter((name) => !covered.has(name) && !NOT_CALLED.includes(name));
  expect(missing).toEqual([]);
});

test('the valid calls succeed', async () => {
  const failed: string[] = [];
  for (const [name, entry] of Object.entries(publicCalls(stage))) {
    const error = await failure(entry);
    if (error !== undefined) failed.push(`${name}: ${(error as Error).message}`);
  }
  await stage.device.synchronize();
  expect(failed).toEqual([]);
});

/** Runs a check on every entry, and names the entries that fail. */
async function forEvery(check: (name: string, entry: PublicCall) => Promise<void>): Promise<void> {
  const problems: string[] = [];
  for (const [name, entry] of Object.entries(publicCalls(stage))) {
    try {
      await check(name, entry);
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message}`);
    }
  }
  expect(problems).toEqual([]);
}

const withArgument = (entry: PublicCall, argument: string, value: unknown): PublicCall => ({
  ...entry,
  args: { ...entry.args, [argument]: value },
});

/** Names an argument as messages do: options that are not an object are called options. */
const isOptions = ({ options }: PublicCall, argument: string): boolean =>
  argument === options || argument === 'init';

test('missing and wrong arguments are refused by name', async () => {
  await forEvery(async (name, entry) => {
    for (const argument of Object.keys(entry.args)) {
      if (!entry.optional?.includes(argument)) {
        expectRefusal(
          await failure(withArgument(entry, argument, undefined)),
          name,
          isOptions(entry, argument) ? '' : argument,
        );
      }
      for (const [, value] of wrong()) {
        expectRefusal(
          await failure(withArgument(entry, argument, value)),
          name,
          isOptions(entry, argument) ? '' : argument,
        );
      }
    }
  });
});

test('unknown, misspelt and wrong options are refused by name', async () => {
  await forEvery(async (name, entry) => {
    const { options } = entry;
    if (options === undefined) return;
    const given = entry.args[options] as Record<string, unknown>;
    const called = (more: object): Promise<unknown> =>
      failure(withArgument(entry, options, { ...given, ...more }));
    expectRefusal(await called({ elephants: 2 }), name, 'has no option elephants (given: 2)');
    for (const option of Object.keys(given)) {
      const misspelt = snakeCase(option);
      expectRefusal(await called({ [misspelt]: 1 }), name, `${misspelt} (given: 1); do you mean ${option}?`);
      for (const [, value] of wrong()) expectRefusal(await called({ [option]: value }), name, option);
      const getter = Object.defineProperty({ ...given }, option, { get: thrower, enumerable: true });
      expectRefusal(await failure(withArgument(entry, options, getter)), name, `${option} cannot be read`);
    }
  });
});

test('with any arguments, a call succeeds or is refused by name', async () => {
  const calls = publicCalls(stage);
  const arguments_ = Object.entries(calls).flatMap(([name, { args, options }]) => [
    ...Object.keys(args).map((argument) => ({ name, argument, option: undefined as string | undefined })),
    ...Object.keys(options === undefined ? {} : (args[options] as object)).map((option) => ({
      name,
      argument: options!,
      option,
    })),
  ]);
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...arguments_), doubtful, async ({ name, argument, option }, value) => {
      const entry = calls[name]!;
      const given = entry.args[argument] as object;
      const error = await failure(
        withArgument(entry, argument, option === undefined ? value : { ...given, [option]: value }),
      );
      if (error === undefined) return;
      expect(error).toMatchObject({ name: 'ForetokenError' });
      expect((error as foretoken.ForetokenError).code).not.toBe('INTERNAL');
    }),
    { numRuns: 1000 },
  );
});

it('every class that is disposed of works with `using`', () => {
  const classes = Object.entries(foretoken).filter(([, value]) => 'prototype' in Object(value));
  const prototypes = classes.map(
    ([name, value]) => [name, (value as { prototype: object }).prototype] as const,
  );
  const disposable = prototypes.filter(([, prototype]) => 'dispose' in prototype);
  expect(disposable.length).toBeGreaterThan(8);
  expect(disposable.filter(([, prototype]) => !(Symbol.dispose in prototype))).toEqual([]);
});
