// The operations of recurrent layers, which the CUDA backend does not have yet.
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

[[noreturn]] void refuse(const Context& context) {
  throw make_error(ErrorCode::kUnsupported, "%s: recurrent layers run on the CPU only", context.op);
}

}  // namespace

int64_t workspace(const GatedDeltaArgs&, const Context&) { return 0; }
int64_t workspace(const CommitRecurrentArgs&, const Context&) { return 0; }
void run(const ShortConvolutionArgs&, const Context& context) { refuse(context); }
void run(const GatedDeltaArgs&, const Context& context) { refuse(context); }
void run(const CommitRecurrentArgs&, const Context& context) { refuse(context); }

}  // namespace foretoken::cuda
