// `npm run test:slow`: the tests that take minutes, *.slow.test.ts.
module.exports = {
  ...require('./jest.config.js'),
  testMatch: ['**/*.slow.test.ts'],
  testPathIgnorePatterns: [],
  testTimeout: 600_000,
};
