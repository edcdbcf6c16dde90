// Replaces CUDA's cuda_runtime.h when csrc/cuda/platform.h is compiled for the emulator: the keywords of CUDA C++, its
// built-in variables and functions, and the runtime API, under their own names.
#pragma once

#include "csrc/simt/atomics.h"
#include "csrc/simt/intrinsics.h"
#include "csrc/simt/kernel_launch.h"
#include "csrc/simt/keywords.h"
#include "csrc/simt/runtime_api.h"
#include "csrc/simt/shared_variables.h"
#include "csrc/simt/thread_builtins.h"
#include "csrc/simt/vector_types.h"
