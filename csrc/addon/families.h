// The families of exported functions, one source file each.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

extern const Exports kDeviceExports;
extern const Exports kTensorExports;
extern const Exports kElementwiseExports;
extern const Exports kLayerExports;
extern const Exports kOptimizerExports;
extern const Exports kLinearExports;
extern const Exports kLinearCrossEntropyExports;
extern const Exports kAttentionExports;

const std::vector<const Exports*>& all_families();

}  // namespace foretoken
