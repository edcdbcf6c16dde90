// The suites of tests: `jest` alone runs the fast suite, `jest --selectProjects races` another one. A run gets the configuration
// of one suite, and not of five projects, because jest ignores the `testTimeout` of a project. The scripts in package.json add
// `--ci`, which ends jest's list of projects, so that names of files may follow.
const suites = {
  // `npm test`: all tests that are not slow. The emulated GPU takes seconds for some of them, and longer on a busy machine.
  fast: { testMatch: ['**/*.test.ts'], testTimeout: 120_000 },

  // `npm run test:slow`: the tests that take minutes.
  slow: { testMatch: ['**/*.slow.test.ts'], testPathIgnorePatterns: [], testTimeout: 600_000 },

  // `npm run test:races`: operations, training and decoding on the emulated GPU, which checks every access of every kernel.
  races: {
    testMatch: ['<rootDir>/test/{ops,cuda}/**/*.test.ts'],
    testTimeout: 300_000,
    globals: { foretokenTargets: ['cuda-checked'] },
  },

  // `npm run test:cuda`: operations, training and decoding on a GPU, and the conformance of the emulator with it.
  cuda: {
    testMatch: ['<rootDir>/test/{ops,cuda,simt}/**/*.test.ts'],
    testTimeout: 300_000,
    globals: { foretokenTargets: ['cuda'] },
  },

  // `npm run test:sanitizers`: broken arguments, processes that end, too little memory, and numbers at the ends of their range.
  // scripts/test-sanitizers.ts adds the targets: the emulated GPU, and the two levels of the CPU that it builds with sanitizers.
  sanitizers: {
    testMatch: [
      'public-calls',
      'tensor/{arguments,dtypes,handles,processes,capture,poison}',
      'native/termination',
      'cuda/memory-programs',
      'ops/{zero-sizes,*/zero-sizes,after-error}',
      'ops/{attention,layers,optimizer,sampling}/*',
      'ops/linear/{linear,dot-formats}',
      'ops/loss/linear-cross-entropy{,-arguments,-extremes,-gradients}',
    ].map((tests) => `<rootDir>/test/${tests}.test.ts`),
    testTimeout: 600_000,
  },
};

const option = process.argv.indexOf('--selectProjects');
const name = option < 0 ? 'fast' : process.argv[option + 1];
if (!Object.hasOwn(suites, name))
  throw new Error(`no suite is called ${name}; there are ${Object.keys(suites).join(', ')}`);

module.exports = {
  displayName: name,
  testEnvironment: '<rootDir>/test/support/environment.ts',
  roots: ['<rootDir>/test'],
  transform: { '\\.ts$': ['ts-jest', { diagnostics: false }] },
  // The addon starts threads of its own.
  maxWorkers: 2,
  // Given to every module, because each look-up in the global object of a test takes a tenth of a microsecond.
  sandboxInjectedGlobals: (
    'Array BigInt Buffer DataView Map Math Number Object Promise Set String Float32Array Float64Array ' +
    'BigInt64Array BigUint64Array Int8Array Int16Array Int32Array Uint8Array Uint16Array Uint32Array'
  ).split(' '),
  testPathIgnorePatterns: ['\\.slow\\.test\\.ts$'],
  ...suites[name],
};
