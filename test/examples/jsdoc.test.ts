// Each @example in the JSDoc of a public name compiles as a module of a project that has the package.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import ts from 'typescript';
import { TemporaryDirectory } from '../support/temporary';

jest.setTimeout(60_000);
const temporary = new TemporaryDirectory();
const root = path.join(__dirname, '../..');

/** Finds the code of each @example, by the documented name. */
function examples(): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of globSync('lib/**/*.ts', { cwd: root })) {
    const text = readFileSync(path.join(root, file), 'utf8');
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
    source.forEachChild((node) => {
      for (const tag of ts.getJSDocTags(node)) {
        if (tag.tagName.text !== 'example') continue;
        const name = (node as ts.DeclarationStatement).name!.getText();
        const code = /^```ts\n([^]*)\n```$/.exec(ts.getTextOfJSDocComment(tag.comment)!)?.[1];
        expect([name, code]).toEqual([name, expect.stringContaining("from 'foretoken'")]);
        found.set(name, code!);
      }
    });
  }
  return found;
}

test('the most used names have an example, and each example compiles', () => {
  const all = examples();
  expect([...all.keys()].sort()).toEqual(
    [
      ...[
        'LanguageModel',
        'MtpModel',
        'Trainer',
        'applyChatTemplate',
        'downloadModel',
        'generate',
        'linearCrossEntropy',
        'loadModel',
      ],
      ...['openDevice', 'prepareCorpus', 'saveGguf', 'saveModel', 'scope'],
    ].sort(),
  );
  const files = [...all].map(([name, code]) => temporary.write(`${name}.mts`, code));
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), (name) => ts.sys.readFile(name));
  const program = ts.createProgram(files, {
    ...ts.parseJsonConfigFileContent(config, ts.sys, root).options,
    typeRoots: [path.join(root, 'node_modules/@types')],
    types: ['node'],
    paths: { foretoken: [path.join(root, 'lib/index.ts')] },
  });
  const problems = files.flatMap((file) => {
    const source = program.getSourceFile(file)!;
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ messageText }) => `${path.basename(file)}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
    );
  });
  expect(problems).toEqual([]);
});
