// npm's install script: keep the package's prebuilt binary where this machine can load it, build from source
// elsewhere. A clone has no prebuilt binary, so there this brings the build up to date, for what this machine can use.
'use strict';
const path = require('node:path');

process.env.PREBUILDS_ONLY = '1'; // for node-gyp-build: an earlier build may be older than the sources
try {
  require('node-gyp-build')(path.resolve(__dirname, '..'));
} catch (error) {
  console.log(`foretoken: building from source: ${error.message.split('\n')[0]}`);
  require('./build.js');
}
