import { systemReason } from '../files';

/** 128 + SIGPIPE, with which programs end whose output nobody reads any longer. */
const NOT_READ = 141;

/**
 * Ends the process when standard output cannot be written: quietly where its reader, `head` for instance, has seen enough,
 * with a message and 1 otherwise.
 */
export function endWithoutOutput(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.exit(NOT_READ);
  console.error(`foretoken: cannot write to standard output: ${systemReason(error)}`);
  process.exit(1);
}
