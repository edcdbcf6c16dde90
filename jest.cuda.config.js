// `npm run test:cuda`: the tests of operations on a GPU.
module.exports = {
  ...require('./jest.config.js'),
  testMatch: ['<rootDir>/test/ops/**/*.test.ts'],
  testTimeout: 300_000,
  globals: { foretokenTargets: ['cuda'] },
};
