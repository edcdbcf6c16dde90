// README.md and docs/: their code and commands work when copied, and the names in them exist.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import ts from 'typescript';
import * as foretoken from '../../lib';
import { runCli } from '../support/cli';
import { readmeBlocks, readmeCommands, wordsOf } from '../support/readme';
import { startScript } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';

jest.setTimeout(60_000);
const temporary = new TemporaryDirectory();
const root = path.join(__dirname, '../..');
/** Flags that make a command short. */
const SMALL: Record<string, Record<string, string>> = {
  train: {
    '--steps': '2',
    '--hidden-size': '16',
    '--layers': '2',
    '--heads': '2',
    '--batch-size': '2',
    '--sequence-length': '32',
    '--eval-rows': '4',
  },
  eval: { '--rows': '4', '--sequence-length': '32' },
};

/** Runs a command from the page with small sizes and with its output in the temporary directory. */
async function expectToWork(name: string, ...argv: string[]): Promise<void> {
  const small = SMALL[name] ?? {};
  const kept = argv.filter((word, i) => !(word in small) && !((argv[i - 1] ?? '') in small));
  const here = kept.map((word) => word.replace(/^runs\//, `${temporary.path}/runs/`));
  const { code, stderr } = await runCli(name, ...here, ...Object.entries(small).flat());
  expect([name, ...argv, code, code === 0 ? '' : stderr]).toEqual([name, ...argv, 0, '']);
}

/** Checks that a command has the flags that the page gives it. */
async function expectToBeKnown(name: string, ...argv: string[]): Promise<void> {
  const { code, stdout } = await runCli(name, '--help');
  expect([name, code]).toEqual([name, 0]);
  for (const flag of argv.filter((word) => word.startsWith('--'))) expect(stdout).toContain(flag);
}

it('the commands of README.md work in order', async () => {
  const commands = readmeCommands();
  expect(commands.length).toBeGreaterThanOrEqual(4);
  for (const [name, ...argv] of commands) {
    // Tests open no connections.
    if (argv.some((word) => word.startsWith('Qwen/'))) await expectToBeKnown(name!, ...argv);
    else await expectToWork(name!, ...argv);
  }
});

it('the examples of --help work, too', async () => {
  for (const name of ['train', 'generate', 'eval', 'devices']) {
    const { stdout } = await runCli(name, '--help');
    const [, ...argv] = wordsOf(/^Example: foretoken (.*)$/m.exec(stdout)![1]!);
    await expectToWork(name, ...argv);
  }
});

describe('the library example of README.md', () => {
  const [example] = readmeBlocks('js');

  it('type-checks', () => {
    const file = temporary.write('example.mts', example!);
    const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), (name) => ts.sys.readFile(name));
    const program = ts.createProgram([file], {
      ...ts.parseJsonConfigFileContent(config, ts.sys, root).options,
      typeRoots: [path.join(root, 'node_modules/@types')],
      types: ['node'],
      paths: { foretoken: [path.join(root, 'lib/index.ts')] },
    });
    const source = program.getSourceFile(file)!;
    const problems = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });

  it('runs', async () => {
    const directory = /LanguageModel\.load\('(.*)'\)/.exec(example!)![1]!;
    const flags = [...Object.entries(SMALL.train!).flat(), '--held-out', '0'];
    const trained = await runCli(
      'train',
      path.join(root, 'lib/heads'),
      '-o',
      temporary.at(directory),
      ...flags,
    );
    expect([trained.code, trained.stdout]).toEqual([0, expect.stringContaining('trained 2 steps')]);
    // Makes a package that `import` finds, from the sources.
    temporary.write(
      'node_modules/foretoken/index.mjs',
      `import { createRequire } from 'node:module';
       const library = createRequire(import.meta.url)(${JSON.stringify(path.join(root, 'lib'))});
       export const { ${Object.keys(foretoken).join(', ')} } = library;`,
    );
    temporary.write('node_modules/foretoken/package.json', '{ "exports": "./index.mjs" }');
    const { outputText } = ts.transpileModule(example!, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    });
    const file = temporary.write('example.mjs', outputText);
    const { code, stdout, stderr } = await startScript(file, [], { cwd: temporary.path }).ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(Number(/([\d.]+) tokens per step\n$/.exec(stdout)![1])).toBeGreaterThanOrEqual(1);
  });
});

const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: root, ignore: 'docs/api/**' });

describe.each(pages)('%s names only what exists', (page) => {
  const text = readFileSync(path.join(root, page), 'utf8');

  it('links', () => {
    const targets = [...text.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, target]) => target!);
    const local = targets.filter((target) => !/^[a-z]+:/.test(target));
    const missing = local.filter((target) => !existsSync(path.join(root, path.dirname(page), target)));
    expect(missing).toEqual([]);
  });

  it('paths', () => {
    const folders = 'lib|csrc|test|bench|examples|scripts|docs';
    const named = [...text.matchAll(new RegExp(`(?<![\\w./-])(?:${folders})/[\\w./*-]*`, 'g'))];
    const paths = named.map(([name]) => name.replace(/[./]+$/, ''));
    const missing = paths.filter(
      (name) => globSync([name, `${name}/**`], { cwd: root, ignore: 'node_modules/**' }).length === 0,
    );
    expect(missing).toEqual([]);
  });

  it('scripts of package.json', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name!);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});
