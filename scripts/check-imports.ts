// Checks that imports in lib/ go down the layers, never up or sideways, and never form a circle. Imports of types must go down,
// too, but may form a circle within a layer. Only lib/tensor may import lib/native.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

// The folders of lib/ from the top down; folders of one row must not import each other. index.ts is above all of them. The other
// files in lib/ itself are small helpers at the very bottom.
const layers = [
  ['index'],
  ['cli'],
  ['train', 'decode'],
  ['chat'],
  ['model'],
  ['hub', 'heads'],
  ['nn'],
  ['tensor'],
  ['native'],
];
const bottom = layers.length;

const levelOf = (layer: string): number => layers.findIndex((row) => row.includes(layer));

/** The layer of a file given relative to lib/, as its name and its row in the list; undefined if the file has none. */
function layerOf(file: string): { name: string; level: number } | undefined {
  const [first, ...rest] = file.split('/');
  if (first === 'index.ts') return { name: 'index', level: 0 };
  if (rest.length === 0) return { name: 'lib', level: bottom };
  const level = levelOf(first!);
  return level < 0 ? undefined : { name: first!, level };
}

interface Import {
  target: string;
  /** Whether the compiler erases the import, so that it cannot be part of a circle when the program runs. */
  typeOnly: boolean;
}

/** Whether `source` imports only types from the module `name`. */
function isTypeOnly(source: ts.SourceFile, name: string): boolean {
  return source.statements.every((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return true;
    const { moduleSpecifier } = statement;
    if (!moduleSpecifier || !ts.isStringLiteral(moduleSpecifier) || moduleSpecifier.text !== name)
      return true;
    if (ts.isExportDeclaration(statement)) return statement.isTypeOnly;
    return statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
  });
}

/** The imports of every file of `lib` from `lib`; files are named relative to it. */
function readImports(lib: string): Map<string, Import[]> {
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' })
    .map((file) => file.split(path.sep).join('/'))
    .filter((file) => file.endsWith('.ts'))
    .sort();
  const resolve = (from: string, name: string): string | undefined => {
    const place = path.posix.join(path.posix.dirname(from), name);
    return [`${place}.ts`, path.posix.join(place, 'index.ts')].find((file) => files.includes(file));
  };
  const imports = new Map<string, Import[]>();
  for (const file of files) {
    const text = readFileSync(path.join(lib, file), 'utf8');
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
    const found = ts.preProcessFile(text).importedFiles.flatMap(({ fileName }) => {
      const target = fileName.startsWith('.') ? resolve(file, fileName) : undefined;
      return target === undefined ? [] : [{ target, typeOnly: isTypeOnly(source, fileName) }];
    });
    imports.set(file, found);
  }
  return imports;
}

function findCircles(imports: Map<string, Import[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  function visit(file: string): void {
    const start = trail.indexOf(file);
    if (start >= 0) found.push([...trail.slice(start), file].join(' → '));
    if (start >= 0 || done.has(file)) return;
    trail.push(file);
    for (const { target, typeOnly } of imports.get(file)!) if (!typeOnly) visit(target);
    trail.pop();
    done.add(file);
  }
  for (const file of imports.keys()) visit(file);
  return found;
}

/** Finds the layers in the list that have no folder in `lib`, one message each. */
export function findEmptyLayers(lib: string): string[] {
  return layers
    .flat()
    .filter((layer) => layer !== 'index' && !existsSync(path.join(lib, layer)))
    .map((layer) => `lib/${layer} does not exist; remove it from the list in scripts/check-imports.ts`);
}

/** Finds the imports of a lib/ folder that are not allowed, one message each. */
export function checkImports(lib: string): string[] {
  const imports = readImports(lib);
  const problems: string[] = [];
  for (const [file, targets] of imports) {
    const from = layerOf(file);
    if (!from) {
      problems.push(
        `lib/${file}: this folder is in no layer; add it to the list in scripts/check-imports.ts`,
      );
      continue;
    }
    for (const { target } of targets) {
      const to = layerOf(target);
      if (!to || to.name === from.name) continue;
      if (to.level <= from.level) {
        problems.push(`lib/${file} imports lib/${target}: ${to.name} is not below ${from.name}`);
      } else if (to.name === 'native' && from.name !== 'tensor') {
        problems.push(`lib/${file} imports lib/${target}: only lib/tensor may import lib/native`);
      }
    }
  }
  return [...problems, ...findCircles(imports).map((circle) => `circle of imports: ${circle}`)];
}

if (require.main === module) {
  const lib = path.join(__dirname, '../lib');
  const problems = [...findEmptyLayers(lib), ...checkImports(lib)];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
  console.log('imports: only downwards, no circles');
}
