/** The target of rows that have none, as in PyTorch; such rows cost nothing. */
export const NO_TARGET = -100;
