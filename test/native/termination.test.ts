// V8 can end JavaScript anywhere: when a worker is terminated, at process.exit() in a worker, at the time limit of a vm script. From
// then on Node-API calls fail, also calls that report errors. The process must continue.
import { prelude, runScript, success } from '../support/scripts';

/** Code of a worker until its termination: calls that return, throw, are awaited and reject. */
const busyWorker = `
  ${prelude}
  native.setErrorClass(class extends Error {
    constructor(code, message) {
      super(message);
      this.code = code;
    }
  });
  const device = native.openCpu(undefined, 2);
  const x = native.view([32, 32], fill(device, 1024, 1e-3), 0);
  const targets = native.fromData(device, 'int32', [32], new Int32Array(32).fill(3));
  const attempt = (call) => {
    try {
      call();
    } catch {
      // intended
    }
  };
  const loss = () =>
    native.linearCrossEntropy(
      'lossAndGrad', x, x, undefined, targets, undefined, 1, undefined, 'mean', -100,
      0, 0, 0, 0, 2, true, true, true, false, false, undefined, undefined, undefined, undefined,
    );
  loss().forEach((tensor) => native.dispose(tensor));
  parentPort.postMessage('started');
  (async () => {
    for (;;) {
      for (let i = 0; i < 20; i++) {
        const product = native.linear(x, x);
        native.read(product).catch(() => {});
        native.shapeOf(product);
        native.dispose(product);
        attempt(() => native.shapeOf(-1));
        attempt(() => native.silu('x'));
        attempt(() => native.empty(device, 'float32', [NaN]));
        native.describeDevice(device);
        native.memory(device);
      }
      loss().forEach((tensor) => native.dispose(tensor));
      await native.read(x);
      await native.synchronize(device);
      const closed = native.openCpu(undefined, 1);
      const pending = [native.read(fill(closed, 4, 1)), native.synchronize(closed)];
      native.closeDevice(closed);
      await Promise.allSettled(pending);
    }
  })();
`;

test('workers may be terminated anywhere in native calls', async () => {
  const ended = await runScript(`
    const count = 62; // twice every number of milliseconds below
    let started = 0;
    let ended = 0;
    const next = () => {
      if (started === count) return;
      const milliseconds = (started * 7) % 31;
      const whileItStarts = started++ % 4 === 0;
      const worker = new Worker(${JSON.stringify(busyWorker)}, { eval: true });
      worker.once(whileItStarts ? 'online' : 'message', () => setTimeout(() => worker.terminate(), milliseconds));
      worker.on('error', (error) => {
        console.log(error);
        process.exit(3);
      });
      worker.on('exit', () => {
        if (++ended === count) console.log('ended', ended);
        next();
      });
    };
    for (let i = 0; i < 4; i++) next();
  `);
  expect(ended).toEqual(success('ended 62\n'));
});

/** Scripts that end JavaScript, by \`end()\`, where a native call has called it. */
const insideCalls = {
  'a getter of a shape': `
    native.empty(device, 'float32', Object.defineProperty([0], 0, { get: end }));
  `,
  'a getter that closed the device': `
    native.empty(device, 'float32', Object.defineProperty([0], 0, {
      get: () => {
        native.closeDevice(device);
        end();
      },
    }));
  `,
  'the error class, when a call throws': `
    native.setErrorClass(class { constructor() { end(); } });
    native.shapeOf(-1);
  `,
  'the error class, when a promise rejects': `
    native.setErrorClass(class { constructor() { end(); } });
    native.read(results[99]);
    native.closeDevice(device);
  `,
  'a then that a promise resolves to': `
    Object.defineProperty(Float32Array.prototype, 'then', { get: end });
    native.read(fill(native.openCpu(undefined, 1), 4, 1));
  `,
};

describe.each(Object.entries(insideCalls))('ended in %s', (_, script) => {
  const queued =
    'const device = native.openCpu(undefined, 2); const results = work(device); native.read(results[99]);';
  const exiting = `const end = () => process.exit(5); ${queued} ${script}`;

  test('process.exit in the main thread', async () => {
    expect(await runScript(exiting)).toEqual({ code: 5, signal: null, output: '' });
  });

  test('process.exit in a worker', async () => {
    const ended = await runScript(`
      new Worker(${JSON.stringify(prelude + exiting)}, { eval: true }).on('exit', (code) => console.log(code));
    `);
    expect(ended).toEqual(success('5\n'));
  });
});

test('the time limit of a vm script', async () => {
  const ended = await runScript(`
    const vm = require('node:vm');
    Object.assign(globalThis, { native, device: native.openCpu(undefined, 1), forever: () => { for (;;); } });
    const errorClass = (constructor) => native.setErrorClass(class { constructor() { constructor(); } });
    const limit = (milliseconds, script) => {
      try {
        vm.runInThisContext(script, { timeout: milliseconds });
      } catch (error) {
        return error.code;
      }
    };
    const codes = new Set();
    codes.add(limit(10, 'native.empty(device, "float32", Object.defineProperty([0], 0, { get: forever })); '));
    errorClass(forever);
    codes.add(limit(10, 'for (;;) { try { native.shapeOf(-1); } catch {} }'));
    errorClass(() => {});
    for (let i = 0; i < 50; i++) codes.add(limit(1 + (i % 5), 'for (;;) { try { native.shapeOf(-1); } catch {} }'));
    for (let i = 0; i < 50; i++) codes.add(limit(1 + (i % 5), 'for (;;) native.memory(device);'));
    console.log(...codes);
  `);
  expect(ended).toEqual(success('ERR_SCRIPT_EXECUTION_TIMEOUT\n'));
});
