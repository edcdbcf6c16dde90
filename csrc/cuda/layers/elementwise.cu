// Memory and elementwise operations: every element of the output depends on its own inputs alone. Scaled additions are
// one kernel; their intermediate results never exist in memory.
#include "csrc/cuda/common/activations.cuh"
#include "csrc/cuda/common/map.cuh"
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

struct Constant {
  float value;
  FORETOKEN_DEVICE float operator()() const { return value; }
};

struct Same {
  FORETOKEN_DEVICE float operator()(float x) const { return x; }
};

struct AddBoth {
  FORETOKEN_DEVICE float operator()(float a, float b) const { return a + b; }
};

// A factor, part of which may be known only to the device.
struct Factor {
  float scale;
  const float* factor;
  FORETOKEN_DEVICE float operator*() const { return factor ? scale * *factor : scale; }
};

struct AddScaled {
  Factor factor;
  FORETOKEN_DEVICE float operator()(float out, float in) const { return fmaf(*factor, in, out); }
};

struct Scaled {
  Factor factor;
  FORETOKEN_DEVICE float operator()(float in) const { return *factor * in; }
};

struct SiluOf {
  FORETOKEN_DEVICE float operator()(float x) const { return silu(x); }
};

struct SiluGradient {
  FORETOKEN_DEVICE float operator()(float grad, float x) const { return grad * silu_slope(x, sigmoid_and_rest(x)); }
};

struct SigmoidGated {
  FORETOKEN_DEVICE float operator()(float x, float gate) const { return x * sigmoid(gate); }
};

// Copies some columns, bit for bit.
template <typename T>
struct CopyColumns {
  const T* in;
  T* out;
  int64_t in_stride, out_stride;

  template <int N>
  FORETOKEN_DEVICE void at(int64_t row, int64_t column) const {
    *reinterpret_cast<Vector<T, N>*>(out + row * out_stride + column) =
        *reinterpret_cast<const Vector<T, N>*>(in + row * in_stride + column);
  }
};

// Copies `columns` columns, from `in_column` on in rows of `in_stride` elements, to `out_column` on in rows of
// `out_stride`.
template <typename T>
void copy_columns(const Context& context, int64_t rows, int64_t columns, const void* in, int64_t in_stride,
                  int64_t in_column, void* out, int64_t out_stride, int64_t out_column) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(T));
  const CopyColumns<T> copy{static_cast<const T*>(in) + in_column, static_cast<T*>(out) + out_column, in_stride,
                            out_stride};
  const bool vectors = vectors_fit({copy.in, copy.out}, {in_stride * kBytes, out_stride * kBytes, columns * kBytes});
  for_rows<16 / kBytes>(context, rows, columns, vectors, copy);
}

// Copies units as large as both addresses allow, then single bytes after the last unit.
template <typename Unit>
__global__ void __launch_bounds__(kMapThreads)
    copy_kernel(const ErrorRecord* record, int64_t bytes, const unsigned char* in, unsigned char* out) {
  if (has_error(record)) return;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kMapThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kMapThreads + threadIdx.x;
  const int64_t units = bytes / static_cast<int64_t>(sizeof(Unit));
  for (int64_t i = first; i < units; i += threads) {
    reinterpret_cast<Unit*>(out)[i] = reinterpret_cast<const Unit*>(in)[i];
  }
  for (int64_t i = units * static_cast<int64_t>(sizeof(Unit)) + first; i < bytes; i += threads) out[i] = in[i];
}

}  // namespace

void run(const FillArgs& args, const Context& context) {
  with_floats(args.dtype, [&](auto type) {
    map_over(context, args.count, static_cast<decltype(type)*>(args.out), Constant{args.value});
  });
}

// A kernel instead of cudaMemcpyAsync, because a copy must do nothing after an error.
void run(const CopyArgs& args, const Context& context) {
  const auto copy = [&](auto unit) {
    using Unit = decltype(unit);
    launch(context, copy_kernel<Unit>, map_grid(context, divide_up(args.bytes, int64_t{sizeof(Unit)})),
           dim3(kMapThreads), 0, context.record, args.bytes, static_cast<const unsigned char*>(args.in),
           static_cast<unsigned char*>(args.out));
  };
  const uintptr_t addresses = reinterpret_cast<uintptr_t>(args.in) | reinterpret_cast<uintptr_t>(args.out);
  if (addresses % 16 == 0) copy(Vector<uint32_t, 4>());
  else if (addresses % 4 == 0) copy(uint32_t());
  else copy(uint16_t());
}

void run(const CastArgs& args, const Context& context) {
  with_floats(args.in_dtype, [&](auto in_type) {
    with_floats(args.out_dtype, [&](auto out_type) {
      map(context, args.count, static_cast<decltype(out_type)*>(args.out), Same(),
          static_cast<const decltype(in_type)*>(args.in));
    });
  });
}

void run(const AddArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    map(context, args.count, static_cast<T*>(args.out), AddBoth(), static_cast<const T*>(args.a),
        static_cast<const T*>(args.b));
  });
}

void run(const AccumulateArgs& args, const Context& context) {
  with_activations(args.in_dtype, [&](auto in_type) {
    with_activations(args.out_dtype, [&](auto out_type) {
      auto* const out = static_cast<decltype(out_type)*>(args.out);
      const AddScaled add{{args.scale, args.factor}};
      map_over(context, args.count, out, add, out, static_cast<const decltype(in_type)*>(args.in));
    });
  });
}

void run(const ScaleArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    const Scaled scaled{{args.scale, args.factor}};
    map(context, args.count, static_cast<T*>(args.out), scaled, static_cast<const T*>(args.in));
  });
}

void run(const SiluArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    map(context, args.count, static_cast<T*>(args.out), SiluOf(), static_cast<const T*>(args.x));
  });
}

void run(const SiluBackwardArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    map(context, args.count, static_cast<T*>(args.grad_x), SiluGradient(), static_cast<const T*>(args.grad_out),
        static_cast<const T*>(args.x));
  });
}

void run(const SigmoidGateArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    map(context, args.count, static_cast<T*>(args.out), SigmoidGated(), static_cast<const T*>(args.x),
        static_cast<const T*>(args.gate));
  });
}

void run(const ConcatArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    const int64_t dim = args.dim_a + args.dim_b;
    copy_columns<T>(context, args.rows, args.dim_a, args.a, args.dim_a, 0, args.out, dim, 0);
    copy_columns<T>(context, args.rows, args.dim_b, args.b, args.dim_b, 0, args.out, dim, args.dim_a);
  });
}

void run(const SliceColumnsArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    copy_columns<T>(context, args.rows, args.dim, args.in, args.stride, args.start, args.out, args.dim, 0);
  });
}

}  // namespace foretoken::cuda
