/** Marks a row without a target, as in PyTorch; such rows take no time. */
export const NO_TARGET = -100;
