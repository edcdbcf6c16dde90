// Every operation of a backend, as the struct of its arguments. The addon checks shapes, dtypes and devices before it
// fills one in. Kernels check the contents of index tensors that only the device knows; they report a bad index through
// ErrorSlot and never read out of bounds.
//
// Conventions: matrices are dense and row-major unless `layout` says otherwise. Comments give shapes in elements and
// say which pointers may be null. "+=" marks outputs that the operation adds to. `workspace` is scratch that the caller
// allocates, of the size that Backend::workspace() returns.
//
// Activations (hidden states, their gradients, keys and values) have the type `dtype` of the struct: float32, or
// bfloat16 if Backend::computes_in() allows it. Sums are float32 or wider for both. Weights of norms, biases,
// statistics and gradients of weights are float32.
#pragma once

#include "csrc/core/ops/attention.h"
#include "csrc/core/ops/layers.h"
#include "csrc/core/ops/linear.h"
#include "csrc/core/ops/loss.h"
#include "csrc/core/ops/memory.h"
#include "csrc/core/ops/operands.h"
#include "csrc/core/ops/optimizer.h"
#include "csrc/core/ops/recurrent.h"
#include "csrc/core/ops/sampling.h"
