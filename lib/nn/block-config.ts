/** Names of the norms of a transformer layer; null where it has none. */
export interface BlockNorms {
  /** Before attention. */
  beforeAttention: string | null;
  /** After attention, before its result is added to the residual stream. */
  afterAttention: string | null;
  /** Before the MLP. */
  beforeMlp: string | null;
  /** After the MLP, before its result is added to the residual stream. */
  afterMlp: string | null;
}

/** Sizes of a gated delta net. */
export interface GatedDeltaConfig {
  /** Query heads, and key heads. */
  keyHeads: number;
  /** Value heads, a multiple of `keyHeads`. */
  valueHeads: number;
  /** Numbers in one query or key head. */
  keyDim: number;
  /** Numbers in one value head. */
  valueDim: number;
  /** Positions that the convolution reads, its own included. */
  taps: number;
}

/** Sizes and features of one transformer layer; layers of a model may differ. */
export interface BlockConfig {
  /** Width of the residual stream. */
  hiddenSize: number;
  /** Width of the MLP between its projections. */
  intermediateSize: number;
  /** Query heads, a multiple of `kvHeads`. */
  heads: number;
  /** Key heads; there are as many value heads. */
  kvHeads: number;
  /** Numbers in one head; even, for rotary positions. */
  headDim: number;
  /** Added to the mean square in every RMSNorm. */
  rmsNormEps: number;
  /** Which norms there are, and their names in checkpoints. */
  norms: BlockNorms;
  /** Biases on q, k and v (Qwen2). */
  qkvBias: boolean;
  /** A bias on the output projection (with Llama's `attention_bias`). */
  outBias: boolean;
  /** RMSNorm on each query and key head (Qwen3), on all query heads and all key heads together (OLMo 2), or none. */
  qkNorm: 'head' | 'row' | null;
  /** Activation of the gate: SiLU, or the tanh form of GELU (Gemma). */
  activation: 'silu' | 'gelu_tanh';
  /** Whether checkpoints have one tensor for q, k and v, and one for gate and up (Phi-3). */
  fused: boolean;
  /** Factor of the scores of attention, usually 1 / sqrt(headDim). */
  scoreScale: number;
  /** Factor of what attention and the MLP add to the residual stream, usually 1 (Granite). */
  residualScale: number;
  /** How many last positions attention reads, its own included; null for all. */
  window: number | null;
  /** Whether attention's output is multiplied by the sigmoid of a gate, one for each number of a query head (Qwen3.5). */
  outputGate: boolean;
  /** Sizes of a gated delta net, which takes the place of attention; null for a layer with attention. */
  recurrent: GatedDeltaConfig | null;
  /** Standard deviation of initial weights. */
  initStd: number;
  /** Standard deviation of the initial weights of projections into the residual stream, smaller in deeper models (GPT-2). */
  residualStd: number;
}
