// Behaviour that needs a process of its own: how the process ends, and several JavaScript environments at once.
import { prelude, runScript as run, success } from '../support/scripts';

test.each([
  ['the script ends', 'work(device);'],
  ['process.exit', 'work(device); process.exit();'],
  // A readback waits for the work before it, so most of the work is behind it.
  [
    'a readback is awaited',
    "native.read(work(device, 1)[0]).then(() => console.log('read')); work(device);",
    'read\n',
  ],
  [
    'process.exit from a readback',
    "native.read(work(device, 1)[0]).then(() => { console.log('read'); process.exit(); }); work(device);",
    'read\n',
  ],
  [
    'process.exit while a readback is awaited',
    'native.read(work(device)[99]); setTimeout(() => process.exit(), 20);',
  ],
  ['the device is closed', 'work(device); native.closeDevice(device);'],
])('work is queued when %s', async (_, script, output = '') => {
  const ended = await run(`const device = native.openCpu(undefined, 2); ${script}`);
  expect(ended).toEqual(success(output));
});

test('an idle device does not keep the process alive', async () => {
  expect(await run('native.openCpu(); fill(native.openCpu(), 5, 1);')).toEqual(success(''));
});

test('a pending readback keeps the process alive until its device is closed', async () => {
  const script = `
    const device = native.openCpu(undefined, 1);
    const results = work(device);
    native.read(results[99]).catch((error) => console.log(error.code));
    setImmediate(() => native.closeDevice(device));
  `;
  expect(await run(script)).toEqual(success('INVALID_HANDLE\n'));
});

// The exit status is that of the main thread, whatever is still queued or awaited, even if a native call never returns.
test.each([
  'work(device).forEach((result) => native.read(result)); process.exit(7);',
  'process.exitCode = 7; native.read(work(device, 1)[0]).then(() => process.exit()); work(device);',
  "const [a, b] = work(device); native.read(b); process.on('exit', () => native.read(a)); process.exit(7);",
  'for (const result of work(device)) native.read(result); setTimeout(() => process.exit(7), 30);',
  'work(device); native.closeDevice(device); process.exit(7);',
  `work(device); new Worker(prelude + 'const results = work(native.openCpu(undefined, 2)); native.read(results[99]); parentPort.postMessage(0);', { eval: true })
    .on('message', () => process.exit(7));`,
])('an exit status while work is queued: %s', async (script) => {
  const ended = await run(`
    const prelude = ${JSON.stringify(prelude)};
    const device = native.openCpu(undefined, 2);
    ${script}
  `);
  expect(ended).toEqual({ code: 7, signal: null, output: '' });
});

test('an uncaught error while work is queued ends the process with its message', async () => {
  const ended = await run(`
    const device = native.openCpu(undefined, 2);
    work(device).forEach((result) => native.read(result));
    throw new Error('mine');
  `);
  expect(ended).toMatchObject({ code: 1, signal: null });
  expect(ended.output).toContain('mine');
});

test('a device that needs more threads than the system allows is refused', async () => {
  // Every thread has a stack in the address space, which the test limits to little more than the process uses.
  const ended = await run(`
    const { readFileSync } = require('node:fs');
    const { execFileSync } = require('node:child_process');
    const used = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (used + 2 ** 29)]);
    try {
      native.openCpu(undefined, 1024);
    } catch (error) {
      console.log(error.code, error.message);
    }
    native.read(fill(native.openCpu(undefined, 2), 1, 3)).then(([value]) => console.log(value));
  `);
  expect(ended).toMatchObject({ code: 0, signal: null });
  expect(ended.output).toMatch(/^DEVICE_UNAVAILABLE .*no more threads.*\n3\n$/);
});

test('two environments at once have handles of their own', async () => {
  const ended = await run(
    `
    const inWorker = async () => {
      const device = native.openCpu(undefined, 2);
      for (let round = 0; round < 10; round++) {
        const tensors = Array.from({ length: 50 }, (_, i) => native.add(fill(device, 20_000, i), fill(device, 20_000, round)));
        const sums = await Promise.all(tensors.map((tensor) => native.read(tensor)));
        sums.forEach((sum, i) => { if (!sum.every((value) => value === i + round)) throw new Error('wrong sum'); });
        for (const tensor of tensors) native.dispose(tensor);
      }
      return native.liveTensors();
    };
    const source = \`\${prelude}; (\${inWorker})().then((live) => parentPort.postMessage(live));\`;
    const mine = fill(native.openCpu(), 1, 3);
    const workers = [0, 1, 2].map(() => new Promise((resolve, reject) => {
      new Worker(source, { eval: true }).on('message', resolve).on('error', reject);
    }));
    Promise.all([...workers, inWorker()]).then(async (counts) => {
      console.log(counts.join(), (await native.read(mine))[0]);
    });
  `.replace('const inWorker', `const prelude = ${JSON.stringify(prelude)};\nconst inWorker`),
  );
  // 50 pairs of summands in each round; the main thread has one more tensor.
  expect(ended).toEqual(success('1000,1000,1000,1001 3\n'));
});

test('workers may end, or be terminated, with work queued', async () => {
  const ended = await run(`
    const prelude = ${JSON.stringify(prelude)};
    const busy = prelude + \`
      const device = native.openCpu(undefined, 2);
      const x = native.empty(device, 'float32', [1024, 1024]);
      native.fill(x, 1e-3);
      const results = Array.from({ length: 10 }, () => native.linear(x, x));
      parentPort.postMessage('queued');
    \`;
    const ending = [
      'parentPort.close();',
      'process.exit();',
      'results.map((result) => native.read(result)); process.exit();',
      'results.map((result) => native.read(result).catch(() => {})); native.closeDevice(device);',
      'native.read(results[0]).then(() => parentPort.postMessage("read"));',
      'native.read(results[0]); throw new Error("mine");',
    ];
    const terminated = [
      'native.read(results[9]);',
      'while (true) native.dispose(native.linear(x, x));',
      'setInterval(() => native.read(results[0]), 0);',
    ];
    const outcome = (worker) => new Promise((resolve) => {
      const outcomes = [];
      worker.on('message', (message) => outcomes.push(message)).on('error', (error) => outcomes.push(error.message));
      // Sorted, because Node does not define the order of messages and errors.
      worker.on('exit', () => resolve(outcomes.sort().join()));
    });
    const outcomes = [...ending, ...terminated].map((tail, i) => {
      const worker = new Worker(busy + tail, { eval: true });
      if (i >= ending.length) worker.on('message', () => setTimeout(() => worker.terminate(), 10));
      return outcome(worker);
    });
    Promise.all(outcomes).then((all) => console.log(all.join(' ')));
  `);
  const [queued, read] = ['queued', 'queued,read'];
  const outcomes = [queued, queued, queued, queued, read, 'mine,queued', queued, queued, queued];
  expect(ended).toEqual(success(`${outcomes.join(' ')}\n`));
});
