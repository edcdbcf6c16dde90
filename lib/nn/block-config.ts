/** Sizes and flags of a transformer layer. */
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
  /** Biases on q, k and v (Qwen2). */
  qkvBias: boolean;
  /** A bias on the output projection (with Llama's `attention_bias`). */
  outBias: boolean;
  /** RMSNorm on each query and key head (Qwen3). */
  qkNorm: boolean;
  /** Standard deviation of initial weights. */
  initStd: number;
  /** Standard deviation of the initial weights of projections into the residual stream, smaller in deeper models (GPT-2). */
  residualStd: number;
}
