import { libraryVersion } from './library';

/** To be raised whenever this package gives any text other ids than before, with whatever tokenizer. */
const OWN_VERSION = 1;

/** What the ids of a text depend on beside the tokenizer's files: the code that makes them. */
export function encodingVersion(): string {
  return `${OWN_VERSION}, @huggingface/tokenizers ${libraryVersion()}`;
}
