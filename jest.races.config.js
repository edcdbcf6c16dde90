// `npm run test:races`: the tests of operations on the emulated GPU, every access of every kernel checked.
module.exports = {
  ...require('./jest.config.js'),
  testMatch: ['<rootDir>/test/ops/**/*.test.ts'],
  testTimeout: 300_000,
  globals: { foretokenTargets: ['cuda-checked'] },
};
