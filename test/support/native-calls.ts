// One valid call of every function of the addon, with all optional arguments. Tests break the arguments one by one.
import type { DeviceHandle, DType, HostArray } from '../../lib/native/binding';
import { native } from '../../lib/native/load';

export type NativeName = keyof typeof native;

/** Functions that would disturb the other calls or end the test process. */
export const DISRUPTIVE = [
  'setErrorClass',
  'closeDevice',
  'openCpu',
  'measure',
  'beginCapture',
  'endCapture',
] as const satisfies NativeName[];

/** For every function what makes valid arguments, with fresh tensors on `device`. */
export function validCalls(
  device: DeviceHandle,
): Record<Exclude<NativeName, (typeof DISRUPTIVE)[number]>, () => unknown[]> {
  const of = (dtype: DType, shape: number[], data: HostArray): number =>
    native.fromData(device, dtype, shape, data);
  const f = (...shape: number[]): number => {
    const count = shape.reduce((a, b) => a * b, 1);
    return of(
      'float32',
      shape,
      Float32Array.from({ length: count }, (_, i) => Math.sin(i)),
    );
  };
  const ints = (...values: number[]): number => of('int32', [values.length], Int32Array.from(values));
  const table = (rows: number, ...values: number[]): number =>
    of('int32', [rows, values.length / rows], Int32Array.from(values));
  const none = undefined;
  // One sequence, two committed positions, a root with two children; one layer, one key/value head of 2 dimensions.
  const tree = (): number[] => [ints(0, 3), ints(2), ints(-1, 0, 0)];
  const cache = (): number => {
    const made = native.kvCache(device, 1, 1, 2, 8, 1, 'float32');
    native.kvReserve(made, 0, 8);
    return made;
  };
  // One layer, one key head, two value heads of 16 by 16, two taps: rows of 64 channels.
  const states = (): number => {
    const made = native.recurrentStates(device, 1, 1, 2, 16, 16, 2, 2);
    native.recurrentReserve(made, 0);
    return made;
  };
  const delta = (): number[] => [f(3, 64), f(3, 2), f(3, 2), f(2), f(2)];
  const captured = (): number => {
    const capture = native.beginCapture(device);
    native.endCapture(capture);
    return capture;
  };
  const sampling = (): unknown[] => [0.7, 3, 0.9, 0.01, 1.1, 0.1, 0.1, 42n, ints(1, 2), f(2)];
  // Temperature 1, topK 3, seed 7, and two biases.
  const packed = (): unknown[] => [table(1, 0x3f800000, 3, 0, 0, 0, 0, 0, 7, 0, 2), table(1, 1, 2), f(1, 2)];
  return {
    cpuInfo: () => [none],
    cudaInfo: () => [none],
    openCuda: () => [2 ** 31 - 1, none, none, none, none],
    describeDevice: () => [device],
    memory: () => [device],
    resetPeak: () => [device],
    trim: () => [device],
    synchronize: () => [device],

    empty: () => [device, 'float32', [2, 3]],
    fromData: () => [device, 'int32', [3], Int32Array.of(1, 2, 3)],
    write: () => [f(3), Float32Array.of(1, 2, 3)],
    view: () => [[2, 2], f(6), 2, 'int32'],
    alias: () => [f(2)],
    dispose: () => [f(2)],
    shapeOf: () => [f(2, 3)],
    dtypeOf: () => [f(2)],
    liveTensors: () => [],
    read: () => [f(4)],
    fill: () => [f(4), 0.5],
    copyInto: () => [f(4), f(2, 2)],
    cast: () => [f(4), 'bfloat16'],
    timestamp: () => [ints(0, 0), 1],

    replay: () => [captured()],
    disposeCapture: () => [captured()],

    add: () => [f(2, 3), f(2, 3)],
    accumulate: () => [f(2, 3), f(2, 3), 0.5, f(1)],
    scale: () => [f(2, 3), 0.5, f(1)],
    silu: () => [f(7)],
    siluBackward: () => [f(7), f(7)],
    sigmoidGate: () => [f(7), f(7)],
    glu: () => [f(3, 4), 'gelu_tanh'],
    gluBackward: () => [f(3, 2), f(3, 4), 'gelu_tanh'],
    concat: () => [f(2, 3), f(2, 1)],
    sliceColumns: () => [f(2, 5), 1, 3],

    packWeight: () => [f(5, 3), none],
    packedZeros: () => [device, [5, 3], 'int8'],
    packRows: () => [native.packWeight(f(5, 3), 'int8'), 0, f(5, 3)],
    linear: () => [f(2, 3), f(5, 3), f(5), 'float32'],
    linearBackwardInput: () => [f(2, 5), f(5, 3)],
    linearBackwardWeight: () => [f(2, 5), f(2, 3), f(5, 3), f(5)],
    linearCrossEntropy: () => [
      ...['lossAndGrad', f(4, 3), f(5, 3), f(5), ints(1, -100, 4, 0), f(4), 2, f(2), 'mean', -100],
      ...[0.1, 0.01, 0.1, 30, 2, true, true, true, true, true, none, f(4, 3), f(5, 3), f(5)],
    ],

    embedding: () => [ints(0, 4, 4), f(5, 3), 'float32'],
    embeddingBackward: () => [ints(0, 4, 4), f(3, 3), f(5, 3)],
    rmsNorm: () => [f(4, 3), f(3), 1e-5, f(4, 3)],
    rmsNormBackward: () => [f(4, 3), f(4, 3), f(3), f(4), f(3)],
    gatedRmsNorm: () => [f(4, 6), f(4, 6), f(3), 1e-5],
    rope: () => [f(3, 12), ints(0, 5, 9), f(10, 4), 3, 2, false],

    attention: () => [f(4, 8), ints(0, 0, 0, 1), 2, 2, 1, 2, 0.7, 3],
    attentionBackward: () => [f(4, 4), f(4, 8), ints(0, 0, 0, 1), f(4, 4), f(4, 2), 2, 2, 1, 2, 0.7, 3],
    kvCache: () => [device, 1, 1, 2, 8, 1, 'float32'],
    kvReserve: () => [cache(), 0, 5],
    kvRelease: () => [cache(), 0],
    kvBytes: () => [cache()],
    kvPage: () => [cache(), 0, 0],
    disposeKvCache: () => [cache()],
    kvAppend: () => [cache(), 0, f(3, 8), 2, ...tree()],
    treeAttention: () => [cache(), 0, f(3, 8), 2, 1, 2, 0.7, 3, ...tree()],
    kvCompact: () => [cache(), ints(0, 3), ints(2), table(1, 0, 2), ints(2)],

    recurrentStates: () => [device, 1, 1, 2, 16, 16, 2, 2],
    recurrentReserve: () => [states(), 1],
    recurrentRelease: () => [states(), 0],
    recurrentCopy: () => [states(), 0, 1],
    recurrentBytes: () => [states()],
    recurrentBlock: () => [states(), 0],
    disposeRecurrentStates: () => [states()],
    shortConvolution: () => [states(), 0, f(3, 64), f(64, 2), ...tree()],
    gatedDelta: () => [states(), 0, ...delta(), ...tree()],
    commitRecurrent: () => [states(), 0, f(3, 64), ...delta(), ints(0, 3), table(1, 0, 2), ints(2)],

    sumSquares: () => [f(5)],
    clipCoefficient: () => [f(3), 1],
    adamw: () => [
      ...[f(5), f(5), f(5), f(5), f(1), 1e-3, 0.9, 0.999, 1e-8, 0.01, 3],
      of('bfloat16', [5], new Uint16Array(5)),
    ],

    topK: () => [f(2, 5), 3],
    linearSample: () => [f(2, 3), f(5, 3), f(5), ints(7, 8), 30, 0.5, 42n],
    sampleLogits: () => [f(2, 5), ints(7, 8), ints(1, 2, 3), 2, ...sampling()],
    proposeTokens: () => [f(2, 5), ints(0, 2, 3, 7, 9), ints(7), 1, 3, ...packed(), 'logits'],
    acceptedRows: () => [table(1, 0, 2), ints(2), table(1, 4, 3), ints(5), ints(1), table(1, 2), 4],
    chainTokens: () => [table(1, 4, 3), of('int32', [1, 1, 2], Int32Array.of(2, 3)), ints(0, 2), 3, 3],
    verifyTree: () => [
      ...[f(3, 3), f(5, 3), f(5), 30, ints(4, 2, 3), 3, ...tree()],
      ...[...packed(), 'history', table(1, 1, 2, 4), ints(3), ints(2), table(3, 31, 7, 1), false],
    ],
  };
}
