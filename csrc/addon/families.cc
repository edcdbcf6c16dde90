#include "csrc/addon/families.h"

namespace foretoken {

const std::vector<const Exports*>& all_families() {
  static const std::vector<const Exports*> families = {
      &kDeviceExports,    &kTensorExports,    &kCaptureExports,    &kElementwiseExports,
      &kLayerExports,     &kOptimizerExports, &kLinearExports,     &kLinearCrossEntropyExports,
      &kAttentionExports, &kSamplingExports,  &kVerifyTreeExports,
  };
  return families;
}

}  // namespace foretoken
