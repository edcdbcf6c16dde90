/// <reference lib="esnext.disposable" preserve="true" />
// The published types need neither Node's types nor the DOM's, because a project may have neither.
declare global {
  /** The signal of {@link GenerateOptions} and others. A project with Node's types or the DOM's has their declaration. */
  interface AbortSignal {
    readonly aborted: boolean;
    throwIfAborted(): void;
  }
}

export { ForetokenError, type ErrorCode } from './errors';
export type {
  ActivationDType,
  DType,
  HostArray,
  MachineRates,
  MemoryStatistics,
  SamplingNeeds,
  TensorHandle,
  WeightDType,
  DotDType,
} from './tensor/types';

export { noGrad, record, type Backward, type GradNode, type GradTarget } from './tensor/autograd';
export { Device, devices, openDevice, type DeviceListing } from './tensor/device';
export type { DeviceName, DeviceOptions, EmulatorOptions } from './tensor/device-options';
export { Capture, capture, type CaptureOptions } from './tensor/capture';
export { keep, scope, type Scoped } from './tensor/scope';
export { Tensor } from './tensor/tensor';

export { attention, treeAttention, type AttentionShape } from './tensor/ops/attention/attention';
export { add, concat, scale, sigmoidGate, silu } from './tensor/ops/layers/elementwise';
export { embedding } from './tensor/ops/layers/embedding';
export { glu, type GluActivation } from './tensor/ops/layers/glu';
export { kvAppend, kvCompact, type TreeRows } from './tensor/ops/attention/kv-cache';
export { linear, packWeight } from './tensor/ops/linear/linear';
export {
  linearCrossEntropy,
  linearCrossEntropyBackward,
  type LinearCrossEntropyGradients,
  type LinearCrossEntropyOptions,
  type LinearCrossEntropyResult,
  type LossOutput,
} from './tensor/ops/loss/linear-cross-entropy';
export { adamw, clipCoefficient, sumSquares, type AdamwOptions } from './tensor/ops/optimizer/optimizer';
export { commitRecurrent, type RecurrentInputs } from './tensor/ops/recurrent/commit-recurrent';
export { gatedDelta, type DeltaInputs } from './tensor/ops/recurrent/gated-delta';
export { shortConvolution } from './tensor/ops/recurrent/short-convolution';
export { RecurrentStates, type RecurrentStatesOptions } from './tensor/recurrent-states';
export { reshape, rows, sliceColumns } from './tensor/ops/layers/reshape';
export { addRmsNorm, gatedRmsNorm, rmsNorm } from './tensor/ops/layers/rms-norm';
export { rope, ropeTable, type RopeAngles, type RopeHeads } from './tensor/ops/layers/rope';
export {
  linearSample,
  sampleLogits,
  topK,
  type LinearSampleOptions,
  type SamplingHistory,
  type SamplingOptions,
} from './tensor/ops/sampling/sampling';
export {
  acceptedRows,
  chainTokens,
  type AcceptedRowsInputs,
  type AcceptedRowsResult,
  type ChainTokensInputs,
} from './tensor/ops/sampling/accepted-rows';
export {
  proposeTokens,
  type ProposeTokensOptions,
  type ProposeTokensResult,
} from './tensor/ops/sampling/propose-tokens';
export {
  packSampling,
  type DeviceSampling,
  type PackSamplingOptions,
  type SequenceSampling,
} from './tensor/ops/sampling/device-sampling';
export {
  verifyTree,
  type DeviceHistory,
  type VerifyTreeInputs,
  type VerifyTreeResult,
} from './tensor/ops/sampling/verify-tree';

export { Attention } from './nn/attention';
export { Block } from './nn/block';
export type { BlockConfig, BlockNorms, GatedDeltaConfig } from './nn/block-config';
export { KvCache, type KvCacheOptions } from './nn/kv-cache';
export type { ModelCache, ModelCacheOptions } from './nn/model-cache';
export type { RecurrentCache } from './nn/recurrent-cache';
export type { GatedDeltaNet } from './nn/gated-delta-net';
export type { KvPages } from './tensor/kv-pages';
export { Linear, type LinearPart } from './nn/linear';
export { Mlp } from './nn/mlp';
export {
  Parameter,
  ParameterStore,
  type Bucket,
  type BucketPiece,
  type Init,
  type ParameterPart,
  type StoreOptions,
} from './nn/parameters';
export { RMSNorm } from './nn/rms-norm';
export type { RopeScaling } from './nn/rope-frequencies';
export { RopeTable } from './nn/rope-table';
export type { RopeOptions } from './nn/rope-frequencies';
export type { RopeTables } from './nn/rope-tables';
export type { CachedRows, Rows, TrainingRows } from './nn/rows';

export { headKindNames, registerHeadKind } from './heads';
export type {
  HeadInputs,
  HeadKind,
  HeadOutputs,
  HeadRead,
  Heads,
  HeadsContext,
  HeadSources,
} from './heads/heads';

export {
  downloadModel,
  type DownloadedModel,
  type DownloadOptions,
  type DownloadProgress,
} from './hub/download';
export { saveModel } from './model/checkpoint';
export { saveGguf, type SaveGgufOptions } from './model/gguf/write';
export type { LayerType, ModelConfig, ModelOptions, ModelType } from './model/config';
export { loadModel, type LoadedModel, type LoadInit } from './model/load';
export {
  backwardHeadByHead,
  lossAllHeads,
  uploadBatch,
  type DeviceBatch,
  type HeadLossOptions,
  type TrainingBatch,
} from './train/loss';
export { MtpModel, type ModelInit, type TrunkOutputs, type TrunkStates } from './model/model';
export {
  byteTokenizerFiles,
  createTokenizer,
  loadTokenizer,
  saveTokenizer,
  type DecodeOptions,
  type EncodeOptions,
  type StreamDecodeOptions,
  type StreamDecoder,
  type Tokenizer,
  type TokenizerFiles,
} from './model/tokenizer';

export {
  PackedRows,
  prepareCorpus,
  splitHeldOut,
  TokenFile,
  type CorpusOptions,
  type CorpusProgress,
  type PackedBatch,
  type PackedRowsOptions,
  type TokenRange,
} from './train/data';
export {
  evaluate,
  type Acceptance,
  type EvaluateOptions,
  type Evaluation,
  type HeadEvaluation,
} from './train/evaluate';
export type { CurriculumOptions, HeadWeightOptions } from './train/head-schedule';
export type { AdamWOptions } from './train/optimizer';
export type { LearningRateOptions } from './train/schedule';
export { Trainer } from './train/trainer';
export type { EvaluationProgress, RunOptions, RunResult, StepResult } from './train/run';
export type { LossTerms, Recipe, RunSettings, TrainerOptions } from './train/options';

export { applyChatTemplate, type ChatMessage, type ChatTemplateOptions } from './chat';
export type { ChatOptions } from './decode/chat';
export { generate, type Generation, type Prompt } from './decode/generate';
export type { GeneratedText, GenerateRequest, PromptWithOptions } from './decode/generate-many';
export type { GeneratedPiece } from './decode/output-limiter';
export type { FinishReason, GenerateStats } from './decode/generate-stats';
export { LanguageModel, type LoadOptions } from './decode/language-model';
export type { Phase, PhaseSeconds } from './decode/step-clock';
export type { GenerateOptions, Speculation } from './decode/options';
export type { ModuleLayout } from './heads/mtp-module';
export type { TokenConstraint } from './decode/constraint';
export type { DraftedSequence, DraftFunction, Drafts } from './decode/user-drafts';
export { RankPathStatistics } from './decode/rank-path-statistics';
export { buildTree, expectedTokens, type TreeShape } from './decode/tree';
export type { TreePlan } from './decode/tree-plan';
