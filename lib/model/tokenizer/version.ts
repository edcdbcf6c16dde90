import { libraryVersion } from './library';

/** Raise whenever this package changes the ids of any text with any tokenizer. */
const OWN_VERSION = 2;

/** Returns the version of the code on which the ids of a text depend, beside the tokenizer's files. */
export function encodingVersion(): string {
  return `${OWN_VERSION}, @huggingface/tokenizers ${libraryVersion()}`;
}
