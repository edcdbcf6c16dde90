// The kernels of one instruction-set level, declared once for all levels.
//
// Included with FORETOKEN_ISA set this declares that level's functions; csrc/cpu/host/kernel_table.h turns each level
// into a table of pointers.
#pragma once

#include "csrc/core/backend.h"
#include "csrc/cpu/context.h"
