import { join } from 'node:path';
import nodeGypBuild = require('node-gyp-build');
import { ForetokenError } from '../errors';
import type { NativeBinding } from './binding';

/** The addon of this installation: a prebuilt binary, or what `npm install` built. */
export const native = nodeGypBuild(join(__dirname, '..', '..')) as NativeBinding;

native.setErrorClass(ForetokenError);
