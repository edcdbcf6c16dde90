#include "csrc/addon/families.h"

namespace foretoken {

const std::vector<const Exports*>& all_families() {
  static const std::vector<const Exports*> families = {
      &kDeviceExports,
      &kTensorExports,
      &kCaptureExports,
      &kElementwiseExports,
      &kGluExports,
      &kEmbeddingExports,
      &kRmsNormExports,
      &kRopeExports,
      &kOptimizerExports,
      &kLinearExports,
      &kLinearCrossEntropyExports,
      &kAttentionExports,
      &kTreeAttentionExports,
      &kKvCacheExports,
      &kRecurrentStatesExports,
      &kShortConvolutionExports,
      &kGatedDeltaExports,
      &kCommitRecurrentExports,
      &kTopKExports,
      &kSamplingExports,
      &kVerifyTreeExports,
      &kProposeTokensExports,
      &kAcceptedRowsExports,
  };
  return families;
}

}  // namespace foretoken
