// Reading the output of ptxas in scripts/check-cuda.ts.
import { parseLosses, parseReport } from '../../scripts/check-cuda';

const text = `
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z1fv' for 'sm_90a'
ptxas info    : Function properties for _Z1fv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers
ptxas info    : (C7515) Potential Performance Loss: wgmma.mma_async instructions are serialized due to something
ptxas info    : Compiling entry function '_Z1gv' for 'sm_80'
    32 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 32 bytes cumulative stack size
ptxas warning : (C7508) setmaxnreg is ignored
`;

test('registers and spills are read for each kernel on each target', () => {
  expect(parseReport(text)).toEqual([
    { kernel: '_Z1fv', target: 'sm_90a', registers: 168, spilled: 0 },
    { kernel: '_Z1gv', target: 'sm_80', registers: 255, spilled: 32 },
  ]);
});

test('warnings about performance are read', () => {
  expect(parseLosses(text)).toEqual([
    'Potential Performance Loss: wgmma.mma_async instructions are serialized due to something',
    'setmaxnreg is ignored',
  ]);
});
