// Cases for the emulator itself: small correct kernels, and the same kernels with a fault that the emulator must find.
// test/simt/*.test.ts says what each must give.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "csrc/cuda/context.h"

namespace foretoken::simt::tests {

using cuda::check;
using cuda::discard;

// A stream with memory for one case, and the results of the case.
class Bench {
 public:
  Bench() {
    check(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    context_.op = "case";
  }
  ~Bench() {
    const char* const reason = "the case is over";
    discard(cudaStreamSynchronize(context_.stream), reason);
    for (void* memory : memory_) discard(cudaFree(memory), reason);
    discard(cudaStreamDestroy(context_.stream), reason);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  cudaStream_t stream() const { return context_.stream; }
  const cuda::Context& context() const { return context_; }

  // Returns device memory that has not been written.
  template <typename T>
  T* allocate(size_t count) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, count * sizeof(T)), "cudaMalloc");
    memory_.push_back(memory);
    return static_cast<T*>(memory);
  }

  template <typename T>
  T* zeros(size_t count) {
    T* const memory = allocate<T>(count);
    check(cudaMemsetAsync(memory, 0, count * sizeof(T), stream()), "cudaMemsetAsync");
    return memory;
  }

  template <typename T>
  T* upload(const std::vector<T>& values) {
    T* const memory = allocate<T>(values.size());
    check(cudaMemcpyAsync(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, stream()),
          "cudaMemcpyAsync");
    return memory;
  }

  // Waits for the stream. Throws the report if a kernel did something wrong.
  template <typename T>
  std::vector<T> download(const T* memory, size_t count) {
    std::vector<T> values(count);
    check(cudaMemcpyAsync(values.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost, stream()),
          "cudaMemcpyAsync");
    finish();
    return values;
  }

  void finish() { check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

  template <typename... Parameters, typename... Arguments>
  void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Arguments&&... arguments) {
    cuda::launch(context_, kernel, grid, block, shared_bytes, std::forward<Arguments>(arguments)...);
  }

  // Launches a kernel in clusters of `blocks`.
  template <typename... Parameters, typename... Arguments>
  void launch_cluster(unsigned blocks, void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments&&... arguments) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {blocks, 1, 1};
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = stream();
    config.attrs = &attribute;
    config.numAttrs = 1;
    check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...),
          "cudaLaunchKernelEx");
  }

  void expect(bool condition, const std::string& what) {
    if (!condition && wrong_.empty()) wrong_ = what;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  cuda::Context context_{};
  std::vector<void*> memory_;
  std::string wrong_;
};

struct Case {
  const char* name;
  void (*run)(Bench& bench);
};

std::vector<Case>& cases();

struct Registered {
  Registered(const char* name, void (*run)(Bench&)) { cases().push_back({name, run}); }
};

// CASE("name", [](Bench& bench) { … });
#define FORETOKEN_JOIN(a, b) a##b
#define FORETOKEN_UNIQUE(a, b) FORETOKEN_JOIN(a, b)
#define CASE static const foretoken::simt::tests::Registered FORETOKEN_UNIQUE(registered_, __LINE__)

}  // namespace foretoken::simt::tests
