#include "csrc/core/recurrent_states.h"

namespace foretoken {

RecurrentStates::RecurrentStates(const std::shared_ptr<Device>& device, const RecurrentSizes& sizes,
                                 const char* purpose)
    : sizes_(sizes),
      pool_(device, DType::kFloat32, {sizes.layers, sizes.shape.layer_floats()}, sizes.sequences, 1, purpose) {}

void RecurrentStates::reserve(int64_t sequence, const char* purpose) {
  if (!has(sequence)) pool_.reserve(sequence, 1, kMostRecurrentRows, purpose);
}

RecurrentView RecurrentStates::view(int64_t layer) const {
  return {reinterpret_cast<float* const*>(pool_.table()), pool_.limits(), layer * sizes_.shape.layer_floats(),
          sizes_.shape};
}

}  // namespace foretoken
