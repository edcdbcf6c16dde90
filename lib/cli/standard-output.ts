import { systemReason } from '../files';

/** 128 + SIGPIPE: the usual exit code when the reader of the output is gone. */
const NOT_READ = 141;

/**
 * Ends the process when standard output cannot be written: silently if the reader, such as `head`, has closed it, else with a
 * message and exit code 1.
 */
export function endWithoutOutput(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.exit(NOT_READ);
  console.error(`foretoken: cannot write to standard output: ${systemReason(error)}`);
  process.exit(1);
}
