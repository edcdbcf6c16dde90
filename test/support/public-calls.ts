// One valid call of every public function and constructor, with every option given.
import * as foretoken from '../../lib';
import type { HeadKind } from '../../lib';
import { randomBatch, tinyModel, tokenizer } from './training';

/** A call that succeeds. */
export interface PublicCall {
  /** Calls the function or constructor. */
  readonly call: (...args: never[]) => unknown;
  /** The arguments by name, in their order; an options argument contains every option. */
  readonly args: Readonly<Record<string, unknown>>;
  /** The name of the options argument. */
  readonly options?: string;
  /** Arguments that may be left out. */
  readonly optional?: readonly string[];
}

/** Objects that the calls use. */
export interface Stage {
  readonly device: foretoken.Device;
  readonly model: foretoken.MtpModel;
  readonly store: foretoken.ParameterStore;
  readonly data: foretoken.TokenFile;
  /** An empty directory. */
  readonly directory: string;
  /** A directory with a model in it. */
  readonly saved: string;
}

/** Exports that are not called here: error classes, and classes that only other functions construct. */
export const NOT_CALLED = ['ForetokenError', 'Device', 'Tensor', 'Capture'];

let kinds = 0;

export function publicCalls({
  device,
  model,
  store,
  data,
  directory,
  saved,
}: Stage): Record<string, PublicCall> {
  const f32 = (...shape: number[]) => device.zeros(shape);
  const i32 = (...values: number[]) => device.tensor(Int32Array.from(values));
  const tree = () => ({ rowOffsets: i32(0, 1), lengths: i32(0), parents: i32(-1) });
  const cache = () => {
    const made = new foretoken.KvCache(device, { layers: 1, kvHeads: 1, headDim: 8, capacity: 4 });
    made.reserve(0, 4);
    return made;
  };
  const shape = { heads: 1, kvHeads: 1, headDim: 8, scale: 1, window: 3 };
  const states = () => {
    const made = new foretoken.RecurrentStates(device, {
      ...{ layers: 1, keyHeads: 1, valueHeads: 1, keyDim: 16, valueDim: 16, taps: 2, sequences: 1 },
    });
    made.reserve(0);
    return made;
  };
  const delta = { qkv: f32(1, 48), a: f32(1, 1), b: f32(1, 1), decay: f32(1), bias: f32(1) };
  const angles = { frequencies: [1, 0.1, 0.01, 0.001], scale: 1 };
  const table = () => new foretoken.RopeTable(device, angles, 16);
  const parts = [{ name: 'w', shape: [2, 2] }];
  const block = {
    ...{ hiddenSize: 8, intermediateSize: 8, heads: 1, kvHeads: 1, headDim: 8, rmsNormEps: 1e-5 },
    ...{ qkvBias: true, outBias: true, qkNorm: 'head', activation: 'silu', fused: false, window: null },
    ...{
      outputGate: false,
      recurrent: null,
      scoreScale: 0.5,
      residualScale: 1,
      initStd: 0.1,
      residualStd: 0.1,
    },
    norms: {
      ...{ beforeAttention: 'input_layernorm', afterAttention: null },
      ...{ beforeMlp: 'post_attention_layernorm', afterMlp: null },
    },
  };
  const signal = new AbortController().signal;
  const modelOptions = {
    ...{ vocabSize: 9, hiddenSize: 8, numHiddenLayers: 1, numAttentionHeads: 1, modelType: 'llama' },
    ...{ intermediateSize: 8, numKeyValueHeads: 1, headDim: 8, maxPositionEmbeddings: 8, rmsNormEps: 1e-5 },
    ...{ ropeTheta: 1e4, tieWordEmbeddings: true, attentionBias: false, initializerRange: 0.1 },
    ...{ ropeScaling: null, ropeLocalBaseFreq: null, partialRotaryFactor: 1, noRopeLayers: null },
    ...{ slidingWindow: null, layerTypes: null, queryPreAttnScalar: null, attentionMultiplier: null },
    ...{ linearNumKeyHeads: null, linearNumValueHeads: null, linearKeyHeadDim: null },
    ...{ linearValueHeadDim: null, linearConvKernelDim: null },
    ...{ embeddingMultiplier: 1, residualMultiplier: 1, logitsScaling: 1, eosTokenIds: [1] },
    ...{ bosTokenId: null, mtp: { kind: 'medusa', numHeads: 2 } },
  };
  const sampling = {
    ...{ temperature: 1, topK: 2, topP: 0.9, minP: 0.1, repetitionPenalty: 1.1, frequencyPenalty: 0.1 },
    ...{ presencePenalty: 0.1, logitBias: new Map([[1, 2]]), seed: 3 },
  };
  const generation = {
    ...sampling,
    ...{ maxTokens: 2, stop: ['x'], ignoreEos: true, signal, speculation: { tree: 'chain', depth: 1 } },
  };
  const loss = () => ({
    ...{ bias: f32(5), coefficients: f32(2), heads: 1, headWeights: f32(1), reduction: 'mean' },
    ...{ ignoreIndex: -100, labelSmoothing: 0.1, zLoss: 0.1, entropyWeight: 0.1, softcap: 1, chunkRows: 1 },
  });
  const statistics = new foretoken.RankPathStatistics(2);
  const rows = () => new foretoken.PackedRows(data, { rowLength: 8, heads: 3 });
  const batch = randomBatch(1, { batch: 1, length: 8, heads: 3, vocab: 100 });
  const uploaded = () => foretoken.uploadBatch(device, batch, model.heads);
  const headLoss = {
    ...{ labelSmoothing: 0.1, zLoss: 0.1, entropyWeight: 0.1, chunkRows: 1, outputs: ['nll'] },
    weights: [1, 1, 1],
  };
  const headKind: HeadKind = { kind: `kind ${kinds++}`, create: () => model.heads };
  const made =
    (maker: new (...args: never[]) => unknown) =>
    (...args: never[]): unknown =>
      new maker(...args);
  return {
    noGrad: { call: foretoken.noGrad, args: { fn: () => 1 } },
    scope: { call: foretoken.scope, args: { fn: () => 1 } },
    keep: { call: foretoken.keep, args: { value: f32(1) } },
    record: {
      call: foretoken.record,
      args: { op: 'op', inputs: [f32(1)], output: f32(1), save: [f32(1)], backward: () => undefined },
    },
    devices: { call: foretoken.devices, args: {} },
    openDevice: {
      call: foretoken.openDevice,
      args: { name: 'cpu', options: { threads: 1, isa: 'baseline', memoryLimit: 1e6 } },
      options: 'options',
      optional: ['name', 'options'],
    },
    capture: {
      call: foretoken.capture,
      args: {
        device,
        fn: () => ({}),
        options: { sharesMemoryWith: foretoken.capture(device, () => ({ x: f32(1) })) },
      },
      options: 'options',
      optional: ['options'],
    },
    attention: {
      call: foretoken.attention,
      args: { qkv: f32(2, 24), starts: i32(0, 0), batch: 1, shape },
      options: 'shape',
    },
    treeAttention: {
      call: foretoken.treeAttention,
      args: { cache: cache(), layer: 0, qkv: f32(1, 24), tree: tree(), shape },
      options: 'shape',
    },
    add: { call: foretoken.add, args: { a: f32(2), b: f32(2) } },
    concat: { call: foretoken.concat, args: { a: f32(2), b: f32(2) } },
    scale: { call: foretoken.scale, args: { x: f32(2), factor: 2 } },
    sigmoidGate: { call: foretoken.sigmoidGate, args: { x: f32(2), gate: f32(2) } },
    silu: { call: foretoken.silu, args: { x: f32(2) } },
    glu: { call: foretoken.glu, args: { gateUp: f32(2, 4), activation: 'gelu_tanh' } },
    embedding: {
      call: foretoken.embedding,
      args: { tokens: i32(1), weight: f32(3, 2), dtype: 'float32' },
      optional: ['dtype'],
    },
    kvAppend: {
      call: foretoken.kvAppend,
      args: { cache: cache(), layer: 0, qkv: f32(1, 24), tree: tree(), heads: 1 },
      options: 'tree',
    },
    kvCompact: {
      call: foretoken.kvCompact,
      args: {
        ...{ cache: cache(), rowOffsets: i32(0, 1), lengths: i32(0) },
        ...{ path: device.tensor(Int32Array.of(0), [1, 1]), counts: i32(1) },
      },
    },
    shortConvolution: {
      call: foretoken.shortConvolution,
      args: { states: states(), layer: 0, x: f32(1, 48), weight: f32(48, 2), tree: tree() },
      options: 'tree',
    },
    gatedDelta: {
      call: foretoken.gatedDelta,
      args: { states: states(), layer: 0, inputs: delta, tree: tree() },
      options: 'inputs',
    },
    commitRecurrent: {
      call: foretoken.commitRecurrent,
      args: {
        ...{ states: states(), layer: 0, inputs: { x: f32(1, 48), ...delta }, rowOffsets: i32(0, 1) },
        ...{ path: device.tensor(Int32Array.of(0), [1, 1]), counts: i32(1) },
      },
      options: 'inputs',
    },
    linear: {
      call: foretoken.linear,
      args: { x: f32(2, 3), weight: f32(4, 3), bias: f32(4), dtype: 'float32' },
      optional: ['bias', 'dtype'],
    },
    packWeight: {
      call: foretoken.packWeight,
      args: { weight: f32(4, 3), dtype: 'bfloat16' },
      optional: ['dtype'],
    },
    linearCrossEntropy: {
      call: foretoken.linearCrossEntropy,
      args: {
        hidden: f32(2, 3),
        weight: f32(5, 3),
        targets: i32(1, 2),
        options: { ...loss(), outputs: ['nll'] },
      },
      options: 'options',
      optional: ['options'],
    },
    linearCrossEntropyBackward: {
      call: foretoken.linearCrossEntropyBackward,
      args: {
        ...{ hidden: f32(2, 3), weight: f32(5, 3), targets: i32(1, 2), lse: f32(2) },
        gradients: { hidden: f32(2, 3), weight: f32(5, 3), bias: f32(5) },
        options: loss(),
      },
      options: 'options',
      optional: ['options'],
    },
    adamw: {
      call: foretoken.adamw,
      args: {
        ...{ param: f32(2), grad: f32(2), m: f32(2), v: f32(2), gradScale: f32(1) },
        options: { lr: 0.1, beta1: 0.9, beta2: 0.9, eps: 1e-8, weightDecay: 0.1, step: 1 },
        rounded: device.zeros([2], 'bfloat16'),
      },
      options: 'options',
      optional: ['gradScale', 'rounded'],
    },
    clipCoefficient: { call: foretoken.clipCoefficient, args: { squares: f32(2), maxNorm: 1 } },
    sumSquares: { call: foretoken.sumSquares, args: { x: f32(2) } },
    reshape: { call: foretoken.reshape, args: { x: f32(4), shape: [2, 2] } },
    rows: { call: foretoken.rows, args: { x: f32(4, 2), start: 1, count: 2 } },
    sliceColumns: { call: foretoken.sliceColumns, args: { x: f32(4, 2), start: 1, dim: 1 } },
    addRmsNorm: {
      call: foretoken.addRmsNorm,
      args: { x: f32(2, 4), residual: f32(2, 4), weight: f32(4), eps: 1e-5 },
    },
    gatedRmsNorm: {
      call: foretoken.gatedRmsNorm,
      args: { x: f32(2, 8), gate: f32(2, 8), weight: f32(4), eps: 1e-5 },
    },
    rmsNorm: { call: foretoken.rmsNorm, args: { x: f32(2, 4), weight: f32(4), eps: 1e-5 } },
    rope: {
      call: foretoken.rope,
      args: { x: f32(2, 8), positions: i32(0, 1), table: f32(4, 8), heads: { heads: 1, rotatedHeads: 1 } },
      options: 'heads',
    },
    ropeTable: { call: foretoken.ropeTable, args: { device, maxPositions: 4, angles }, options: 'angles' },
    linearSample: {
      call: foretoken.linearSample,
      args: {
        ...{ hidden: f32(2, 3), weight: f32(5, 3) },
        options: { bias: f32(5), positions: i32(0, 1), temperature: 1, seed: 1n, softcap: 1 },
      },
      options: 'options',
      optional: ['options'],
    },
    sampleLogits: {
      call: foretoken.sampleLogits,
      args: {
        ...{ logits: f32(1, 5), positions: i32(0), options: sampling },
        history: { tokens: [1, 2], promptLength: 1 },
      },
      options: 'options',
      optional: ['options', 'history'],
    },
    topK: { call: foretoken.topK, args: { x: f32(2, 5), k: 2 } },
    packSampling: {
      call: foretoken.packSampling,
      args: { device, sampling: [sampling], options: { biasRoom: 3 } },
      options: 'options',
      optional: ['options'],
    },
    proposeTokens: {
      call: foretoken.proposeTokens,
      args: { logits: f32(1, 5), options: { positions: i32(0), sampling, k: 2, ids: i32(0, 2, 3, 5, 9) } },
      options: 'options',
    },
    acceptedRows: {
      call: foretoken.acceptedRows,
      args: {
        inputs: {
          ...{ path: device.tensor(Int32Array.of(0), [1, 1]), counts: i32(1), lengths: i32(1), open: i32(1) },
          ...{ drawn: device.tensor(Int32Array.of(3), [1, 1]) },
          ...{ openTokens: device.tensor(Int32Array.of(2), [1, 1]), rows: 2 },
        },
      },
      options: 'inputs',
    },
    chainTokens: {
      call: foretoken.chainTokens,
      args: {
        inputs: {
          following: device.tensor(Int32Array.of(1), [1, 1]),
          drafts: device.tensor(Int32Array.of(1), [1, 1, 1]),
          ...{ rowOffsets: i32(0, 1), head: 2, rows: 1 },
        },
      },
      options: 'inputs',
    },
    verifyTree: {
      call: foretoken.verifyTree,
      args: {
        inputs: {
          ...{ hidden: f32(1, 3), weight: f32(5, 3), bias: f32(5), softcap: 1, tokens: i32(1), tree: tree() },
          ...{ sampling, history: [{ tokens: [1], promptLength: 1 }], maxDepth: 1 },
          mask: device.tensor(Int32Array.of(31), [1, 1]),
        },
      },
      options: 'inputs',
    },
    Attention: {
      call: made(foretoken.Attention),
      args: { store, prefix: 'a.', config: block, table: table() },
      options: 'config',
    },
    Block: {
      call: made(foretoken.Block),
      args: { store, prefix: 'b.', config: block, table: table() },
      options: 'config',
    },
    RecurrentStates: {
      call: made(foretoken.RecurrentStates),
      args: {
        device,
        options: {
          ...{ layers: 1, keyHeads: 1, valueHeads: 1, keyDim: 16, valueDim: 16, taps: 2, sequences: 1 },
        },
      },
      options: 'options',
    },
    KvCache: {
      call: made(foretoken.KvCache),
      args: {
        device,
        options: { layers: 1, kvHeads: 1, headDim: 8, capacity: 4, sequences: 1, dtype: 'float32' },
      },
      options: 'options',
    },
    Linear: {
      call: made(foretoken.Linear),
      args: {
        store,
        prefix: 'l.',
        parts: [{ name: 'w', rows: 2 }],
        inputs: 2,
        init: { std: 0.1 },
        bias: true,
      },
      optional: ['bias'],
    },
    Mlp: { call: made(foretoken.Mlp), args: { store, prefix: 'm.', config: block }, options: 'config' },
    Parameter: { call: made(foretoken.Parameter), args: { parts, init: { value: 1 }, decay: true } },
    ParameterStore: {
      call: made(foretoken.ParameterStore),
      args: { device, options: { dtype: 'float32', masters: true } },
      options: 'options',
      optional: ['options'],
    },
    RMSNorm: { call: made(foretoken.RMSNorm), args: { store, name: 'n', dim: 4, eps: 1e-5 } },
    RopeTable: {
      call: made(foretoken.RopeTable),
      args: { device, angles, maxPositions: 16 },
      options: 'angles',
    },
    headKindNames: { call: foretoken.headKindNames, args: {} },
    registerHeadKind: { call: foretoken.registerHeadKind, args: { kind: headKind } },
    downloadModel: {
      call: foretoken.downloadModel,
      args: {
        repo: 'owner/tiny',
        options: { revision: 'main', files: ['config.json'], signal, onProgress: () => undefined },
      },
      options: 'options',
      optional: ['options'],
    },
    loadModel: {
      call: foretoken.loadModel,
      args: {
        device,
        path: saved,
        init: { dtype: 'float32', masters: true, onProgress: () => undefined },
      },
      options: 'init',
      optional: ['init'],
    },
    saveGguf: {
      call: foretoken.saveGguf,
      args: {
        path: `${directory}.gguf`,
        model,
        tokenizer,
        options: { dtype: 'float32', trunkOnly: true },
      },
      options: 'options',
      optional: ['options'],
    },
    saveModel: { call: foretoken.saveModel, args: { directory, model, tokenizer } },
    backwardHeadByHead: {
      call: foretoken.backwardHeadByHead,
      args: { model, batch: uploaded(), options: headLoss },
      options: 'options',
    },
    lossAllHeads: {
      call: foretoken.lossAllHeads,
      args: { model, batch: uploaded(), options: headLoss },
      options: 'options',
    },
    uploadBatch: {
      call: foretoken.uploadBatch,
      args: { device, batch, heads: model.heads },
      options: 'batch',
    },
    MtpModel: {
      call: made(foretoken.MtpModel),
      args: { device, model: modelOptions, init: { seed: 1, dtype: 'float32', masters: true } },
      options: 'model',
      optional: ['init'],
    },
    'MtpModel: init': {
      call: made(foretoken.MtpModel),
      args: { device, model: modelOptions, init: { seed: 1, dtype: 'float32', masters: true } },
      options: 'init',
      optional: ['init'],
    },
    byteTokenizerFiles: { call: foretoken.byteTokenizerFiles, args: {} },
    createTokenizer: {
      call: foretoken.createTokenizer,
      args: { files: tokenizer.files, directory: 'there' },
      optional: ['directory'],
    },
    applyChatTemplate: {
      call: foretoken.applyChatTemplate,
      args: {
        tokenizer,
        messages: [{ role: 'user', content: 'Hi' }],
        options: { chatTemplate: '{{ messages[0].content }}', tools: [], templateVariables: { x: 1 } },
      },
      options: 'options',
    },
    loadTokenizer: { call: foretoken.loadTokenizer, args: { directory: saved } },
    saveTokenizer: { call: foretoken.saveTokenizer, args: { directory, tokenizer } },
    PackedRows: {
      call: made(foretoken.PackedRows),
      args: { file: data, options: { rowLength: 8, heads: 2, range: { start: 0, end: 100 } } },
      options: 'options',
    },
    prepareCorpus: {
      call: foretoken.prepareCorpus,
      args: {
        options: {
          ...{ patterns: [__filename], exclude: ['none'], textField: 'text', tokenizer },
          ...{ cacheDirectory: directory, onProgress: () => undefined, signal },
        },
      },
      options: 'options',
    },
    splitHeldOut: { call: foretoken.splitHeldOut, args: { length: 100, fraction: 0.1 } },
    'TokenFile.open': { call: (path: string) => foretoken.TokenFile.open(path), args: { path: data.path } },
    evaluate: {
      call: foretoken.evaluate,
      args: {
        model,
        rows: rows(),
        options: { batchSize: 1, rows: 1, tokenizer, signal, onProgress: () => undefined },
      },
      options: 'options',
      optional: ['options'],
    },
    'Trainer.create': {
      call: (options: foretoken.TrainerOptions) => foretoken.Trainer.create(options),
      args: {
        options: {
          ...{
            device,
            model: tinyModel('medusa', 2),
            dtype: 'float32',
            tokenizer,
            data,
            steps: 2,
            batchSize: 1,
          },
          ...{ sequenceLength: 8, accumulation: 1, heldOut: 0.2, optimizer: { beta1: 0.9 }, seed: 1 },
          learningRate: { schedule: 'constant', peak: 1e-3, warmupSteps: 1 },
          headWeights: { kind: 'beta', beta: 0.5 },
          curriculum: { kind: 'forward', steps: 2 },
          loss: { labelSmoothing: 0.1, zLoss: 0.1, entropyWeight: 0.1 },
          ...{ evalEvery: 1, evalRows: 1, saveEvery: 1, saveEveryMinutes: 1, keepCheckpoints: 1 },
        },
      },
      options: 'options',
    },
    generate: {
      call: foretoken.generate,
      args: { model, tokenizer, prompt: 'abc', options: generation },
      options: 'options',
      optional: ['options'],
    },
    LanguageModel: { call: made(foretoken.LanguageModel), args: { model, tokenizer } },
    'LanguageModel.load': {
      call: (...args: Parameters<typeof foretoken.LanguageModel.load>) =>
        foretoken.LanguageModel.load(...args),
      args: { directory: saved, options: { device: 'cpu', dtype: 'float32' } },
      options: 'options',
      optional: ['options'],
    },
    RankPathStatistics: {
      call: made(foretoken.RankPathStatistics),
      args: { maxDepth: 2, vocabSize: 5 },
      optional: ['vocabSize'],
    },
    buildTree: {
      call: foretoken.buildTree,
      args: { shape: { tree: 'best', nodes: 2, statistics } },
      options: 'shape',
    },
    expectedTokens: {
      call: foretoken.expectedTokens,
      args: { tree: foretoken.buildTree({ tree: 'chain', depth: 1 }), statistics },
    },
  };
}
