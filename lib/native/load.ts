import { join } from 'node:path';
import nodeGypBuild = require('node-gyp-build');
import { ForetokenError } from '../errors';
import type { NativeBinding } from './binding';
import { explainLoadFailure } from './diagnosis';
import { isCutOff } from './elf';

/** Loads the addon of the package in `root`: a binary built there or, without one, a prebuilt binary. */
export function loadAddon(root: string): NativeBinding {
  try {
    const file = nodeGypBuild.resolve(root);
    if (isCutOff(file)) throw new Error(`${file}: file is cut off`);
    return nodeGypBuild(root) as NativeBinding;
  } catch (cause) {
    throw new ForetokenError('ADDON_UNAVAILABLE', explainLoadFailure(cause as Error, root), { cause });
  }
}

/** The addon of this installation. */
export const native: NativeBinding = loadAddon(join(__dirname, '..', '..'));

native.setErrorClass(ForetokenError);
