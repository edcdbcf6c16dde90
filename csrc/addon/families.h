// Registers the exported functions of every source file.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

extern const Exports kDeviceExports;
extern const Exports kTensorExports;
extern const Exports kCaptureExports;
extern const Exports kElementwiseExports;
extern const Exports kGluExports;
extern const Exports kEmbeddingExports;
extern const Exports kRmsNormExports;
extern const Exports kRopeExports;
extern const Exports kOptimizerExports;
extern const Exports kLinearExports;
extern const Exports kLinearCrossEntropyExports;
extern const Exports kAttentionExports;
extern const Exports kTreeAttentionExports;
extern const Exports kKvCacheExports;
extern const Exports kRecurrentStatesExports;
extern const Exports kShortConvolutionExports;
extern const Exports kGatedDeltaExports;
extern const Exports kCommitRecurrentExports;
extern const Exports kTopKExports;
extern const Exports kSamplingExports;
extern const Exports kVerifyTreeExports;
extern const Exports kProposeTokensExports;
extern const Exports kAcceptedRowsExports;

// All of the above.
const std::vector<const Exports*>& all_families();

}  // namespace foretoken
