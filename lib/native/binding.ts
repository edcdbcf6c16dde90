/**
 * Declares everything that the addon exports. Tensors and devices cross the boundary as integer handles; 0 or undefined stands for an
 * omitted argument. Every function checks its arguments and throws a ForetokenError before anything runs. csrc/core/ops.h documents
 * the shapes, under the same names.
 */
export interface NativeBinding
  extends
    DeviceBinding,
    TensorBinding,
    CaptureBinding,
    ElementwiseBinding,
    LayerBinding,
    OptimizerBinding,
    LinearBinding,
    LinearCrossEntropyBinding,
    AttentionBinding,
    RecurrentBinding,
    SamplingBinding {}

/** A tensor, as a slot and a generation; functions refuse stale handles. */
export type TensorHandle = number;
export type DeviceHandle = number;
export type CaptureHandle = number;
export type KvCacheHandle = number;
export type RecurrentStatesHandle = number;
export type Optional = TensorHandle | undefined;

/** Type of a tensor's elements. */
export type DType = 'float32' | 'bfloat16' | 'float16' | 'int32' | 'int8';
/** Type of hidden states, gradients, keys and values; bfloat16 only if the device computes in it. */
export type ActivationDType = 'float32' | 'bfloat16';
/** Type of matrices in dot format: packed for products in the weight's own type. */
export type DotDType = 'bfloat16' | 'int8';
/** Type of stored matrices; int8 only for models that are not trained. */
export type WeightDType = ActivationDType | 'int8';
/** Contents of a tensor on the host; 16-bit floats as their bits. */
export type HostArray = Float32Array | Int32Array | Uint16Array;

/** Memory of a device, in bytes. */
export interface MemoryStatistics {
  /** In use by tensors and workspaces. */
  live: number;
  /** Largest `live` since the device was opened or `resetPeak` was called. */
  peak: number;
  /** Taken from the system, in use and cached. */
  reserved: number;
}

/** Highest rates of a machine, measured. */
export interface MachineRates {
  /** float32 operations per second in registers on all threads; a multiply-add counts as two. */
  flopsPerSecond: number;
  /** The same for bfloat16 products if the device has units for them; else `flopsPerSecond`. */
  matmulFlopsPerSecond: number;
  /** The same for products with weights packed in int8; 0 if the device has no such products. */
  int8FlopsPerSecond: number;
  /** Bytes per second that all threads read from memory, not from caches. */
  readBytesPerSecond: number;
}

interface DeviceBinding {
  setErrorClass(errorClass: new (code: never, message: string) => Error): void;
  /** `memory` is that of the machine or cgroup in bytes, and how much of it is free. `root` is a folder for /proc and /sys, for tests. */
  cpuInfo(root?: string): {
    processor: string;
    processors: number;
    isaLevels: string[];
    memory: { all: number; free: number };
  };
  cudaInfo(library?: string): { devices: string[]; reason?: string };
  /** `poison` fills memory that no operation has written with NaN, and -1 in integers, for tests. */
  openCpu(isa?: string, threads?: number, memoryLimit?: number, poison?: boolean): DeviceHandle;
  /**
   * `library` is a file in the addon's folder, or a path, as for {@link cudaInfo}. `options` are options of that library:
   * `name=value name=value …`.
   */
  openCuda(
    index: number,
    library?: string,
    options?: string,
    memoryLimit?: number,
    poison?: boolean,
  ): DeviceHandle;
  closeDevice(device: DeviceHandle): void;
  describeDevice(device: DeviceHandle): {
    kind: string;
    description: string;
    computesIn: ActivationDType[];
    packs: DotDType[];
  };
  memory(device: DeviceHandle): MemoryStatistics;
  resetPeak(device: DeviceHandle): void;
  trim(device: DeviceHandle): void;
  synchronize(device: DeviceHandle): Promise<void>;
  measure(device: DeviceHandle): Promise<MachineRates>;
}

interface TensorBinding {
  empty(device: DeviceHandle, dtype: DType, shape: readonly number[]): TensorHandle;
  fromData(device: DeviceHandle, dtype: DType, shape: readonly number[], data: HostArray): TensorHandle;
  write(tensor: TensorHandle, data: HostArray): void;
  view(shape: readonly number[], tensor: TensorHandle, offset: number, dtype?: DType): TensorHandle;
  alias(tensor: TensorHandle): TensorHandle;
  dispose(tensor: TensorHandle): void;
  shapeOf(tensor: TensorHandle): number[];
  dtypeOf(tensor: TensorHandle): DType;
  liveTensors(): number;
  read(tensor: TensorHandle): Promise<HostArray>;
  fill(tensor: TensorHandle, value: number): void;
  copyInto(out: TensorHandle, input: TensorHandle): void;
  cast(tensor: TensorHandle, dtype: DType): TensorHandle;
  timestamp(out: TensorHandle, index: number): void;
}

interface CaptureBinding {
  beginCapture(device: DeviceHandle, sharesMemoryWith?: CaptureHandle): CaptureHandle;
  endCapture(capture: CaptureHandle): void;
  replay(capture: CaptureHandle): void;
  disposeCapture(capture: CaptureHandle): void;
}

/** The function f of a gated linear unit, f(gate) · up. */
export type GluActivation = 'silu' | 'gelu_tanh';

interface ElementwiseBinding {
  add(a: TensorHandle, b: TensorHandle): TensorHandle;
  accumulate(out: TensorHandle, input: TensorHandle, scale: number, deviceFactor?: Optional): void;
  scale(x: TensorHandle, factor: number, deviceFactor?: Optional): TensorHandle;
  silu(x: TensorHandle): TensorHandle;
  siluBackward(gradOut: TensorHandle, x: TensorHandle): TensorHandle;
  sigmoidGate(x: TensorHandle, gate: TensorHandle): TensorHandle;
  glu(gateUp: TensorHandle, activation: GluActivation): TensorHandle;
  gluBackward(gradOut: TensorHandle, gateUp: TensorHandle, activation: GluActivation): TensorHandle;
  concat(a: TensorHandle, b: TensorHandle): TensorHandle;
  sliceColumns(x: TensorHandle, start: number, dim: number): TensorHandle;
}

interface LinearBinding {
  packWeight(weight: TensorHandle, dtype?: DotDType): TensorHandle;
  packedZeros(device: DeviceHandle, shape: readonly number[], dtype: DotDType): TensorHandle;
  packRows(packed: TensorHandle, firstRow: number, rows: TensorHandle): void;
  linear(x: TensorHandle, weight: TensorHandle, bias: Optional, outDtype?: ActivationDType): TensorHandle;
  linearBackwardInput(gradY: TensorHandle, weight: TensorHandle): TensorHandle;
  linearBackwardWeight(
    gradY: TensorHandle,
    x: TensorHandle,
    gradWeight: TensorHandle,
    gradBias: Optional,
  ): void;
}

interface LinearCrossEntropyBinding {
  /** Returns total, headLoss, headCount, then the requested ones of nll, lse, entropy, argmax, rank. */
  linearCrossEntropy(
    mode: 'loss' | 'lossAndGrad' | 'backward',
    hidden: TensorHandle,
    weight: TensorHandle,
    bias: Optional,
    targets: TensorHandle,
    coefficients: Optional,
    heads: number,
    headWeights: Optional,
    reduction: 'sum' | 'mean' | 'meanPerHead',
    ignoreIndex: number,
    labelSmoothing: number,
    zLoss: number,
    entropyWeight: number,
    softcap: number,
    chunkRows: number,
    nll: boolean,
    lse: boolean,
    entropy: boolean,
    argmax: boolean,
    rank: boolean,
    savedLse: Optional,
    gradHidden: Optional,
    gradWeight: Optional,
    gradBias: Optional,
  ): TensorHandle[];
}

interface AttentionBinding {
  attention(
    ...args: [qkv: TensorHandle, starts: TensorHandle, batch: number, ...shape: AttentionShapeArguments]
  ): [out: TensorHandle, lse: TensorHandle];
  attentionBackward(
    ...args: [
      gradOut: TensorHandle,
      qkv: TensorHandle,
      starts: TensorHandle,
      out: TensorHandle,
      lse: TensorHandle,
      batch: number,
      ...shape: AttentionShapeArguments,
    ]
  ): TensorHandle;
  kvCache(
    device: DeviceHandle,
    layers: number,
    kvHeads: number,
    headDim: number,
    capacity: number,
    sequences: number,
    dtype: ActivationDType,
  ): KvCacheHandle;
  /** Returns the number of positions that the sequence has room for afterwards. */
  kvReserve(cache: KvCacheHandle, sequence: number, positions: number): number;
  kvRelease(cache: KvCacheHandle, sequence: number): void;
  kvBytes(cache: KvCacheHandle): number;
  /** Returns one page of a sequence, [layers, 2, kvHeads, 64, headDim], for tests; each device has its own order within a head. */
  kvPage(cache: KvCacheHandle, sequence: number, page: number): TensorHandle;
  disposeKvCache(cache: KvCacheHandle): void;
  kvAppend(
    ...args: [
      cache: KvCacheHandle,
      layer: number,
      qkv: TensorHandle,
      heads: number,
      ...tree: TreeRowsArguments,
    ]
  ): void;
  treeAttention(
    ...args: [
      cache: KvCacheHandle,
      layer: number,
      qkv: TensorHandle,
      ...shape: AttentionShapeArguments,
      ...tree: TreeRowsArguments,
    ]
  ): TensorHandle;
  kvCompact(
    cache: KvCacheHandle,
    rowOffsets: TensorHandle,
    lengths: TensorHandle,
    path: TensorHandle,
    counts: TensorHandle,
  ): void;
}

/** The arguments that describe the heads of attention. */
export type AttentionShapeArguments = [
  heads: number,
  kvHeads: number,
  headDim: number,
  scale: number,
  window: number,
];
type TreeRowsArguments = [rowOffsets: TensorHandle, lengths: TensorHandle, parents: TensorHandle];

type DeltaArguments = [
  qkv: TensorHandle,
  a: TensorHandle,
  b: TensorHandle,
  decay: TensorHandle,
  bias: TensorHandle,
];

interface RecurrentBinding {
  recurrentStates(
    device: DeviceHandle,
    layers: number,
    keyHeads: number,
    valueHeads: number,
    keyDim: number,
    valueDim: number,
    taps: number,
    sequences: number,
  ): RecurrentStatesHandle;
  recurrentReserve(states: RecurrentStatesHandle, sequence: number): void;
  recurrentRelease(states: RecurrentStatesHandle, sequence: number): void;
  recurrentCopy(states: RecurrentStatesHandle, from: number, to: number): void;
  recurrentBytes(states: RecurrentStatesHandle): number;
  /** Returns the block of a sequence, for tests: [layers, floats of a layer], S in the device's own order, then the last inputs. */
  recurrentBlock(states: RecurrentStatesHandle, sequence: number): TensorHandle;
  disposeRecurrentStates(states: RecurrentStatesHandle): void;
  shortConvolution(
    ...args: [
      states: RecurrentStatesHandle,
      layer: number,
      x: TensorHandle,
      weight: TensorHandle,
      ...tree: TreeRowsArguments,
    ]
  ): TensorHandle;
  gatedDelta(
    ...args: [
      states: RecurrentStatesHandle,
      layer: number,
      ...delta: DeltaArguments,
      ...tree: TreeRowsArguments,
    ]
  ): TensorHandle;
  commitRecurrent(
    ...args: [
      states: RecurrentStatesHandle,
      layer: number,
      x: TensorHandle,
      ...delta: DeltaArguments,
      rowOffsets: TensorHandle,
      path: TensorHandle,
      counts: TensorHandle,
    ]
  ): void;
}

interface LayerBinding {
  embedding(tokens: TensorHandle, weight: TensorHandle, outDtype?: ActivationDType): TensorHandle;
  embeddingBackward(tokens: TensorHandle, gradOut: TensorHandle, gradWeight: TensorHandle): void;
  rmsNorm(x: TensorHandle, weight: TensorHandle, eps: number): [y: TensorHandle, rstd: TensorHandle];
  /** Normalizes `sum`, which is x + residual. */
  rmsNorm(
    x: TensorHandle,
    weight: TensorHandle,
    eps: number,
    residual: TensorHandle,
  ): [y: TensorHandle, rstd: TensorHandle, sum: TensorHandle];
  rmsNormBackward(
    gradY: TensorHandle,
    x: TensorHandle,
    weight: TensorHandle,
    rstd: TensorHandle,
    gradWeight: Optional,
  ): TensorHandle;
  gatedRmsNorm(x: TensorHandle, gate: TensorHandle, weight: TensorHandle, eps: number): TensorHandle;
  rope(
    x: TensorHandle,
    positions: TensorHandle,
    table: TensorHandle,
    heads: number,
    rotatedHeads: number,
    inverse: boolean,
  ): TensorHandle;
}

interface OptimizerBinding {
  sumSquares(x: TensorHandle): TensorHandle;
  clipCoefficient(sumSquares: TensorHandle, maxNorm: number): [norm: TensorHandle, coefficient: TensorHandle];
  adamw(
    param: TensorHandle,
    grad: TensorHandle,
    m: TensorHandle,
    v: TensorHandle,
    gradScale: Optional,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    weightDecay: number,
    step: number,
    rounded?: Optional,
  ): void;
}

export type SamplingNumbers = [
  temperature: number,
  topK: number,
  topP: number,
  minP: number,
  repetitionPenalty: number,
  frequencyPenalty: number,
  presencePenalty: number,
  seed: number | bigint,
];
export type SamplingArguments = [...SamplingNumbers, biasTokens: Optional, biasValues: Optional];
/** The needs of draws: a running argmax, whole rows of logits, or also the text before them. */
export type SamplingNeeds = 'nothing' | 'logits' | 'history';

export type SequenceSamplingArguments = [
  sampling: TensorHandle,
  biasTokens: Optional,
  biasValues: Optional,
  needs: SamplingNeeds,
];

interface SamplingBinding {
  topK(x: TensorHandle, k: number): [indices: TensorHandle, values: TensorHandle];
  linearSample(
    hidden: TensorHandle,
    weight: TensorHandle,
    bias: Optional,
    positions: Optional,
    softcap: number,
    temperature: number,
    seed: number | bigint,
  ): TensorHandle;
  sampleLogits(
    ...args: [
      logits: TensorHandle,
      positions: TensorHandle,
      history: Optional,
      promptLength: number,
      ...sampling: SamplingArguments,
    ]
  ): TensorHandle;
  verifyTree(
    ...args: [
      hidden: TensorHandle,
      weight: TensorHandle,
      bias: Optional,
      softcap: number,
      tokens: TensorHandle,
      maxDepth: number | undefined,
      ...tree: TreeRowsArguments,
      ...sampling: SequenceSamplingArguments,
      history: Optional,
      historyLengths: Optional,
      promptLengths: Optional,
      mask: Optional,
      allowsNoToken: boolean,
    ]
  ): [path: TensorHandle, drawn: TensorHandle, counts: TensorHandle];
  proposeTokens(
    ...args: [
      logits: TensorHandle,
      ids: Optional,
      positions: TensorHandle,
      ahead: number,
      k: number,
      ...sampling: SequenceSamplingArguments,
    ]
  ): [tokens: TensorHandle, weights: TensorHandle];
  acceptedRows(
    path: TensorHandle,
    counts: TensorHandle,
    drawn: TensorHandle,
    lengths: TensorHandle,
    open: TensorHandle,
    openTokens: TensorHandle,
    rows: number,
  ): [
    rowOffsets: TensorHandle,
    starts: TensorHandle,
    parents: TensorHandle,
    positions: TensorHandle,
    sources: TensorHandle,
    following: TensorHandle,
    last: TensorHandle,
    nextOpen: TensorHandle,
    nextOpenTokens: TensorHandle,
    kept: TensorHandle,
  ];
  chainTokens(
    following: TensorHandle,
    drafts: TensorHandle,
    rowOffsets: TensorHandle,
    head: number,
    rows: number,
  ): TensorHandle;
}
