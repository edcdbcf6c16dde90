import { checkImports, findEmptyLayers } from '../../scripts/check-imports';
import { TemporaryDirectory } from '../support/temporary';

describe('import checks', () => {
  const lib = new TemporaryDirectory();

  /** A lib/ folder in which each file imports the files named. */
  function write(files: Record<string, string[]>): void {
    for (const [file, targets] of Object.entries(files)) {
      lib.write(file, targets.map((target) => `import { x } from '${target}';\n`).join(''));
    }
  }

  test('downward imports are allowed, and helpers in lib/ itself may be imported from every layer', () => {
    write({
      'index.ts': ['./train/loop', './tensor/ops/add'],
      'files.ts': ['node:fs'],
      'train/loop.ts': ['../model/model', '../files', './batch'],
      'train/batch.ts': [],
      'model/model.ts': ['../tensor/ops/add'],
      'tensor/ops/add.ts': ['../../native/load', '../../files'],
      'native/load.ts': [],
    });
    expect(checkImports(lib.path)).toEqual([]);
  });

  test('upward imports are found, of a nested file and of index.ts too', () => {
    write({
      'train/loop.ts': [],
      'tensor/ops/add.ts': ['../../train/loop', '../..'],
      'index.ts': [],
      'files.ts': ['./train/loop'],
    });
    expect(checkImports(lib.path)).toEqual([
      'lib/files.ts imports lib/train/loop.ts: train is not below lib',
      'lib/tensor/ops/add.ts imports lib/train/loop.ts: train is not below tensor',
      'lib/tensor/ops/add.ts imports lib/index.ts: index is not below tensor',
    ]);
  });

  test('imports between layers of one row are found', () => {
    write({ 'train/loop.ts': ['../decode/loop'], 'decode/loop.ts': [] });
    expect(checkImports(lib.path)).toEqual([
      'lib/train/loop.ts imports lib/decode/loop.ts: decode is not below train',
    ]);
  });

  test('only lib/tensor may import lib/native, types included', () => {
    write({
      'index.ts': ['./native/load'],
      'nn/a.ts': [],
      'tensor/b.ts': ['../native/load'],
      'native/load.ts': [],
    });
    lib.write('nn/a.ts', `import type { A } from '../native/load';\n`);
    expect(checkImports(lib.path)).toEqual([
      'lib/index.ts imports lib/native/load.ts: only lib/tensor may import lib/native',
      'lib/nn/a.ts imports lib/native/load.ts: only lib/tensor may import lib/native',
    ]);
  });

  test('circles inside a layer are found', () => {
    write({ 'nn/a.ts': ['./b'], 'nn/b.ts': ['./c'], 'nn/c.ts': ['./b'] });
    expect(checkImports(lib.path)).toEqual(['circle of imports: nn/b.ts → nn/c.ts → nn/b.ts']);
  });

  test('circles of types are allowed within a layer, but types must not be imported upward', () => {
    write({ 'nn/a.ts': ['./b'], 'nn/b.ts': [], 'tensor/c.ts': [], 'decode/d.ts': [] });
    lib.write('nn/b.ts', `import type { A } from './a';\nexport type { B } from './a';\n`);
    lib.write('tensor/c.ts', `import type { D } from '../decode/d';\n`);
    expect(checkImports(lib.path)).toEqual([
      'lib/tensor/c.ts imports lib/decode/d.ts: decode is not below tensor',
    ]);
  });

  test('a folder without a layer is found', () => {
    write({ 'misc/a.ts': [] });
    expect(checkImports(lib.path)).toEqual([
      'lib/misc/a.ts: this folder is in no layer; add it to the list in scripts/check-imports.ts',
    ]);
  });

  test('a layer without a folder is found', () => {
    for (const layer of ['cli', 'chat', 'train', 'decode', 'model', 'hub', 'heads', 'nn', 'native'])
      write({ [`${layer}/a.ts`]: [] });
    expect(findEmptyLayers(lib.path)).toEqual([
      'lib/tensor does not exist; remove it from the list in scripts/check-imports.ts',
    ]);
  });
});
