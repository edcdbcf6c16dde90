// `npm run test:sanitizers`: what breaks arguments, ends processes, runs out of memory and meets odd numbers, on the two levels
// of the CPU that have sanitizers.
const { cpuInfo } = require('node-gyp-build')(__dirname);

module.exports = {
  ...require('./jest.config.js'),
  testMatch: [
    'public-calls',
    'tensor/{arguments,dtypes,handles,processes,capture,poison}',
    'native/termination',
    'cuda/memory-programs',
    'ops/{zero-sizes,after-error}',
    'ops/{attention,layers,optimizer,sampling}/*',
    'ops/linear/{linear,dot-formats}',
    'ops/loss/linear-cross-entropy{,-arguments,-extremes,-gradients}',
  ].map((tests) => `<rootDir>/test/${tests}.test.ts`),
  testTimeout: 600_000,
  globals: { foretokenTargets: [cpuInfo().isaLevels[0], 'baseline'] },
};
