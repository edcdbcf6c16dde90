// What `npm run test:cuda` runs on a GPU: operations, training and decoding, the conformance of the emulator.
module.exports = {
  ...require('./jest.config.js'),
  testMatch: ['<rootDir>/test/{ops,cuda,simt}/**/*.test.ts'],
  testTimeout: 300_000,
  globals: { foretokenTargets: ['cuda'] },
};
