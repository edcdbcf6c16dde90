// npm's install script. Keeps the package's prebuilt binary if this machine can load it; otherwise builds from source. A clone
// has no prebuilt binary, so the script updates its build, for the processor and GPUs of this machine.
'use strict';
const path = require('node:path');

process.env.PREBUILDS_ONLY = '1'; // makes node-gyp-build ignore an earlier build, which may be older than the sources
try {
  require('node-gyp-build')(path.resolve(__dirname, '..'));
} catch (error) {
  console.log(`foretoken: building from source: ${error.message.split('\n')[0]}`);
  require('./build.js');
}
