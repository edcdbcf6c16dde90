// `npm run test:races`: operations, training and decoding on the emulated GPU, every access of every kernel checked.
module.exports = {
  ...require('./jest.config.js'),
  testMatch: ['<rootDir>/test/{ops,cuda}/**/*.test.ts'],
  testTimeout: 300_000,
  globals: { foretokenTargets: ['cuda-checked'] },
};
