// Hands the record of errors to the host.
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

__global__ void take_error_kernel(ErrorRecord* record, ErrorRecord* taken) {
  *taken = *record;
  record->launch = 0;
  record->key = ~0ull;
  record->one_without_error = 1;
}

}  // namespace

void take_error(const Context& context, ErrorRecord* taken) {
  launch(context, take_error_kernel, dim3(1), dim3(1), 0, context.record, taken);
}

}  // namespace foretoken::cuda
