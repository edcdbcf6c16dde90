/** The options that are sizes of gated delta nets, which transformers calls linear attention. */
export const LINEAR_SIZES = [
  'linearNumKeyHeads',
  'linearNumValueHeads',
  'linearKeyHeadDim',
  'linearValueHeadDim',
  'linearConvKernelDim',
] as const;
