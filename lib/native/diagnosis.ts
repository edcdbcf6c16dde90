import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Why the addon could not be loaded and what to do about it, for somebody who has just installed the package.
 * @param failure what node-gyp-build or the system's loader threw
 * @param root folder of the package
 */
export function explainLoadFailure(failure: Error, root: string): string {
  if (!isPackage(root)) return explainBundle(root);
  return [
    `The native addon of foretoken cannot be loaded on this system (${describeSystem()}): ${findReason(failure, root)}.`,
    'It can be built here, with a C++20 compiler (g++ or clang++), cmake, and make or ninja:',
    `  node "${join(root, 'scripts', 'build.js')}"`,
  ].join('\n');
}

function isPackage(root: string): boolean {
  try {
    return (
      (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name: unknown }).name === 'foretoken'
    );
  } catch {
    return false;
  }
}

function explainBundle(root: string): string {
  return [
    `The native addon of foretoken is not in ${root}: the code of foretoken was bundled, and that of the addon cannot be.`,
    'Mark foretoken as external, so that the program loads it from node_modules:',
    '  esbuild --external:foretoken; for rollup and vite, external: ["foretoken"]; for webpack, externals',
  ].join('\n');
}

function findReason({ message }: Error, root: string): string {
  if (message.startsWith('No native build was found')) {
    const prebuilds = listPrebuilds(root);
    const others = prebuilds.length > 0 ? `, only ${prebuilds.join(', ')}` : '';
    return `there is no binary for it${others}, and none was built when the package was installed`;
  }
  const cutOff = /^(.*): file is cut off$/.exec(message)?.[1];
  if (cutOff)
    return `${cutOff} is not complete: it ends before its own headers say, as after a copy that was broken off`;
  const version = /version `([^']+)' not found/.exec(message)?.[1];
  if (version) return `the binary needs ${version}, which the system's libraries are too old to have`;
  const library = /^([^/\s]+): cannot open shared object file/.exec(message)?.[1];
  if (library) return `the system library ${library} is missing`;
  if (
    /invalid ELF header|wrong ELF class|cannot open shared object file|incompatible architecture/.test(
      message,
    )
  ) {
    return 'the binary was built for another one (node_modules must not be copied between systems)';
  }
  return message;
}

function listPrebuilds(root: string): string[] {
  try {
    const folder = join(root, 'prebuilds');
    return readdirSync(folder).flatMap((platform) =>
      readdirSync(join(folder, platform)).map((file) => `${platform}/${file}`),
    );
  } catch {
    return [];
  }
}

function describeSystem(): string {
  // Declarations of Node 20 do not have it yet.
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
  const { excludeNetwork } = report;
  // A report has the names of the hosts at the other ends of connections; asking for them can take seconds.
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = excludeNetwork;
  const glibc = header.glibcVersionRuntime;
  const facts = [
    `${process.platform}-${process.arch}`,
    glibc && `glibc ${glibc}`,
    `Node ${process.versions.node}`,
  ];
  return facts.filter(Boolean).join(', ');
}
