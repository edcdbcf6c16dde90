import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { loadAddon } from '../../lib/native/load';
import { foretokenError } from '../support/errors';
import { startScript } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';

describe('when the addon cannot be loaded', () => {
  const root = new TemporaryDirectory();
  beforeEach(() => void root.write('package.json', '{ "name": "foretoken" }'));

  /** Writes this build's addon into the package, with its bytes changed. */
  function writeChanged(change: (bytes: Buffer) => Buffer): void {
    const built = path.join(__dirname, '../../build/Release/foretoken.node');
    root.write('build/Release/foretoken.node', change(readFileSync(built)));
  }

  function expectExplained(...parts: string[]): void {
    const advice = `node "${root.at('scripts/build.js')}"`;
    const system = `${process.platform}-${process.arch}`;
    const explained = foretokenError('ADDON_UNAVAILABLE', system, process.versions.node, ...parts, advice);
    expect(() => loadAddon(root.path)).toThrow(explained);
  }

  test('the message says that the package has no binary', () => {
    expectExplained('the package has no binary for it, and installing the package built none');
  });

  test('the message lists binaries for other systems', () => {
    root.write('prebuilds/aix-ppc64/foretoken.node', '');
    expectExplained('only aix-ppc64/foretoken.node');
  });

  test('a C library that is too old for the binary', () => {
    writeChanged((bytes) =>
      Buffer.from(bytes.toString('latin1').replaceAll('GLIBC_2.', 'GLIBC_9.'), 'latin1'),
    );
    expectExplained('the binary needs GLIBC_9.', 'libraries are older');
  });

  test('a binary for another processor', () => {
    writeChanged((bytes) => {
      bytes.writeUInt16LE(bytes.readUInt16LE(18) === 183 ? 62 : 183, 18); // ELF's e_machine: AArch64 or x86-64
      return bytes;
    });
    expectExplained('the binary was built for another system');
  });

  test('a file that is not a binary', () => {
    root.write(
      'build/Release/foretoken.node',
      'not a library, but longer than the header of one would be'.repeat(4),
    );
    expectExplained('the binary was built for another system');
  });

  // In a process of its own, because loading the file anyway would end the process with a bus error.
  test.each([0, 10, 64, 4096, 0.5, 0.99])('a binary that is cut off after %s', async (length) => {
    writeChanged((bytes) => bytes.subarray(0, length < 1 ? bytes.length * length : length));
    root.write(
      'load.ts',
      `
        import { loadAddon } from ${JSON.stringify(path.join(__dirname, '../../lib/native/load'))};
        try { loadAddon(${JSON.stringify(root.path)}); } catch (error) { console.log(error.code, error.message); }
      `,
    );
    const { code, stdout } = await startScript(root.at('load.ts')).ended;
    const file = root.at('build/Release/foretoken.node');
    expect(stdout).toMatch(/^ADDON_UNAVAILABLE .*\n.*\n {2}node .*build\.js/);
    if (length >= 6) expect(stdout).toContain(`${file} is incomplete: it is shorter than its headers say`);
    expect(code).toBe(0);
  });

  test('a system library that is missing', () => {
    writeChanged((bytes) =>
      Buffer.from(bytes.toString('latin1').replaceAll('libstdc++.so.6', 'libstdcxx.so.9'), 'latin1'),
    );
    expectExplained('the system library libstdcxx.so.9 is missing');
  });

  test.each([
    ['beside the package.json of a program', '{ "name": "program" }'],
    ['without a package.json', undefined],
  ])('code in a bundle, %s', (_, manifest) => {
    rmSync(root.at('package.json'));
    if (manifest) root.write('package.json', manifest);
    expect(() => loadAddon(root.path)).toThrow(
      foretokenError('ADDON_UNAVAILABLE', root.path, 'was bundled', 'esbuild --external:foretoken'),
    );
    expect(() => loadAddon(root.path)).not.toThrow('build.js');
  });

  test('making the message does not look up the hosts of open connections', () => {
    const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
    const excluded: boolean[] = [];
    const spy = jest.spyOn(report, 'getReport').mockImplementation(() => {
      excluded.push(report.excludeNetwork);
      return { header: {} };
    });
    expect(() => loadAddon(root.path)).toThrow('no binary');
    spy.mockRestore();
    expect(excluded).toEqual([true]);
    expect(report.excludeNetwork).toBe(false);
  });

  test('the error of the loader is the cause', () => {
    expect(() => loadAddon(root.path)).toThrow(
      expect.objectContaining({
        cause: expect.objectContaining({ message: expect.stringContaining(root.path) }),
      }),
    );
  });
});
