/** One fault that `npm run mutate` puts into a source file, and the tests that must notice it. */
export interface Mutation {
  /** The kernel, then the fault. */
  name: string;
  /** The behaviour that becomes wrong. */
  breaks: string;
  file: string;
  /** Text that occurs in the file exactly once. */
  find: string;
  replace: string;
  /** The file of tests of which at least one must fail. */
  test: string;
  /** The first test that failed when the mutation was last run, and how many more; missing if it was not recorded. */
  caught?: string;
  /** The kind of problem that the emulator reported then, if it reported one. */
  reported?: string;
}

/** Mutations of one source file under csrc/ that are caught by one file of tests under test/. */
export function faults(
  source: string,
  test: string,
  list: readonly Omit<Mutation, 'file' | 'test'>[],
): Mutation[] {
  return list.map((fault) => ({ ...fault, file: `csrc/${source}`, test: `test/${test}.test.ts` }));
}

/** Whether a mutation changes the backend for GPUs, whose tests run on the emulator. */
export function isCuda({ file }: Mutation): boolean {
  return file.startsWith('csrc/cuda/');
}
