// `npm test`: everything in test/ that is quick.
module.exports = {
  testEnvironment: '<rootDir>/test/support/environment.ts',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ['\\.slow\\.test\\.ts$'],
  // Emulated GPUs take their time, and a busy machine takes more.
  testTimeout: 120_000,
  transform: { '\\.ts$': ['ts-jest', { diagnostics: false }] },
  // The addon brings threads of its own.
  maxWorkers: 2,
};
