// The package for `import` exports the names of the CommonJS implementation. It loads the implementation in a way that bundlers do
// not follow, because they could not bundle the native addon, and the bundled rest would fail with a message that helps no user.
import { createRequire } from 'node:module';

function load() {
  try {
    return createRequire(import.meta.url)('./dist/index.js');
  } catch (error) {
    // Bundles in CommonJS have no import.meta.url.
    const place = import.meta.url ?? 'a bundle';
    if (
      import.meta.url &&
      !(error.code === 'MODULE_NOT_FOUND' && error.message.includes("'./dist/index.js'"))
    )
      throw error;
    throw new Error(
      [
        `foretoken does not find its own code from ${place}.`,
        'If it was bundled, mark it as external, so that the program loads it from node_modules:',
        '  esbuild --external:foretoken; for rollup and vite, external: ["foretoken"]; for webpack, externals',
        'In a clone of the repository, `npm run build:ts` compiles the code.',
      ].join('\n'),
      { cause: error },
    );
  }
}

// prettier-ignore
export const { Attention, Block, Capture, Device, ForetokenError, KvCache, LanguageModel, Linear, Mlp, MtpModel, PackedRows, Parameter, ParameterStore, RMSNorm, RankPathStatistics, RecurrentStates, RopeTable, Tensor, TokenFile, Trainer, acceptedRows, adamw, add, addRmsNorm, applyChatTemplate, attention, backwardHeadByHead, buildTree, byteTokenizerFiles, capture, chainTokens, clipCoefficient, commitRecurrent, concat, createTokenizer, devices, downloadModel, embedding, evaluate, expectedTokens, gatedDelta, gatedRmsNorm, generate, glu, headKindNames, keep, kvAppend, kvCompact, linear, linearCrossEntropy, linearCrossEntropyBackward, linearSample, loadModel, loadTokenizer, lossAllHeads, noGrad, openDevice, packSampling, packWeight, prepareCorpus, proposeTokens, record, registerHeadKind, reshape, rmsNorm, rope, ropeTable, rows, sampleLogits, saveGguf, saveModel, saveTokenizer, scale, scope, shortConvolution, sigmoidGate, silu, sliceColumns, splitHeldOut, sumSquares, topK, treeAttention, uploadBatch, verifyTree } = load();
