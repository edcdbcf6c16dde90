import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Explains why the addon could not be loaded and how to repair it, for a user who has just installed the package.
 * @param failure the error of node-gyp-build or the system's loader
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
    `The native addon of foretoken is not in ${root}: the code of foretoken was bundled, but the addon cannot be bundled.`,
    'Mark foretoken as external, so that the program loads it from node_modules:',
    '  esbuild --external:foretoken; for rollup and vite, external: ["foretoken"]; for webpack, externals',
  ].join('\n');
}

function findReason({ message }: Error, root: string): string {
  if (message.startsWith('No native build was found')) {
    const prebuilds = listPrebuilds(root);
    const others = prebuilds.length > 0 ? `, only ${prebuilds.join(', ')}` : '';
    return `the package has no binary for it${others}, and installing the package built none`;
  }
  const cutOff = /^(.*): file is cut off$/.exec(message)?.[1];
  if (cutOff)
    return `${cutOff} is incomplete: it is shorter than its headers say, as after an interrupted copy`;
  const version = /version `([^']+)' not found/.exec(message)?.[1];
  if (version) return `the binary needs ${version}, but the system's libraries are older`;
  const library = /^([^/\s]+): cannot open shared object file/.exec(message)?.[1];
  if (library) return `the system library ${library} is missing`;
  if (
    /invalid ELF header|wrong ELF class|cannot open shared object file|incompatible architecture/.test(
      message,
    )
  ) {
    return 'the binary was built for another system (node_modules must not be copied between systems)';
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
  // The declarations of Node 20 lack excludeNetwork.
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
  const { excludeNetwork } = report;
  // A report looks up the names of connected hosts, which can take seconds.
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
