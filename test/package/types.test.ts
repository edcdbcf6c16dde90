// The published types compile in projects of every kind, also with the types of the language alone.
import path from 'node:path';
import ts from 'typescript';
import { TemporaryDirectory } from '../support/temporary';

const root = path.join(__dirname, '../..');
const temporary = new TemporaryDirectory();

/** Writes the declarations that TypeScript writes into dist/ for users. */
function writeDeclarations(outDir: string): void {
  const read = (file: string): unknown =>
    ts.readConfigFile(path.join(root, file), (name) => ts.sys.readFile(name)).config;
  const { compilerOptions } = read('tsconfig.json') as { compilerOptions: object };
  const { options } = ts.convertCompilerOptionsFromJson({ ...compilerOptions, types: ['node'] }, root);
  const emitted = { noEmit: false, emitDeclarationOnly: true, rootDir: path.join(root, 'lib'), outDir };
  const program = ts.createProgram([path.join(root, 'lib/index.ts')], { ...options, ...emitted });
  expect(program.emit().emitSkipped).toBe(false);
}

/** Returns TypeScript's errors in a project that uses the package, and in the package's types. */
function problems(file: string, options: object): string[] {
  const base = { target: 'es2022', module: 'node16', moduleResolution: 'node16', strict: true, noEmit: true };
  const json = { ...base, skipLibCheck: false, ...options };
  const program = ts.createProgram([file], ts.convertCompilerOptionsFromJson(json, root).options);
  const own = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(temporary.path));
  expect(own.length).toBeGreaterThan(10);
  return own
    .flatMap((source) => [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ])
    .map(
      ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    );
}

test('the published types need neither @types/node nor the DOM nor a newer library, and are compatible with each', () => {
  writeDeclarations(temporary.at('dist'));
  const bare = `import { LanguageModel, type Device, type GenerateOptions } from './dist/index';
    export async function use(options: GenerateOptions, device: Device): Promise<boolean> {
      using model = await LanguageModel.load('x', { device });
      for await (const { text } of model.generate('', options)) text.trim();
      device[Symbol.dispose]();
      return options.signal?.aborted ?? false;
    }`;
  const project = temporary.write('project.ts', bare);
  expect(problems(project, { lib: ['es2022'], types: [] })).toEqual([]);
  const signals = `import type { GenerateOptions } from './dist/index';
    export const options: GenerateOptions = { signal: new AbortController().signal };
    export const reason: unknown = options.signal?.reason;`;
  const aborting = temporary.write('aborting.ts', signals);
  expect(problems(aborting, { lib: ['es2022', 'dom'], types: [] })).toEqual([]);
  expect(
    problems(aborting, {
      lib: ['es2022'],
      types: ['node'],
      typeRoots: [path.join(root, 'node_modules/@types')],
    }),
  ).toEqual([]);
});
