// docs/mutations.md, generated from the mutations: `npm run mutate -- --page` writes it.
import path from 'node:path';
import { mutations } from '.';
import { isCuda, type Mutation } from './mutation';

/** A table in Markdown. */
function table(columns: readonly string[], rows: readonly string[][]): string {
  const escaped = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  return [columns, columns.map(() => '---'), ...escaped].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** The cells that every table begins with. */
function cells({ name, breaks, test, caught }: Mutation): string[] {
  return [name, breaks, caught ? `${path.basename(test, '.test.ts')}: ${caught}` : 'not recorded'];
}

/** The text of docs/mutations.md. */
export function mutationsPage(): string {
  const onGpu = mutations.filter(isCuda);
  const onCpu = mutations.filter((mutation) => !isCuda(mutation));
  const reported = onGpu.filter((mutation) => mutation.reported);
  const columns = ['mutation', 'what it breaks', 'caught by'];
  return `# Mutations

The faults that \`npm run mutate\` puts into the kernels, one at a time, and the tests that caught each when it was last run.
[testing.md](testing.md) says why. This page is generated from \`scripts/mutations\` by \`npm run mutate -- --page\`. Tests have
the names that they had when the mutation was run.

## Kernels for GPUs

${onGpu.length} mutations, run on the emulator with its race checker. Reports of the emulator caught ${reported.length} of them: a report ends
the kernel, so the tests that use the kernel fail.

${table(
  [...columns, 'the emulator reported'],
  onGpu.map((mutation) => [...cells(mutation), mutation.reported ?? '']),
)}

## Kernels for the CPU

${onCpu.length} mutations, run on a machine with AVX-512.

${table(columns, onCpu.map(cells))}
`;
}
