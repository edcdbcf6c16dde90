// What `npm run mutate -- cuda` breaks in the kernels for GPUs, one at a time: here those of elements and rows. Their tests run
// on the emulator with its race checker, and it or an expectation must notice.
import { faults, type Mutation } from './mutations';

const afterError = 'after-error';

export const cudaMutations: readonly Mutation[] = [
  ...faults('cuda/common/map.cuh', 'layers/elementwise', [
    [
      'cuda-map-last',
      'the last element of those that fill no vector',
      'for (int64_t i = count / N * N + first; i < count; i += threads)',
      'for (int64_t i = count / N * N + first; i + 1 < count; i += threads)',
    ],
    [
      'cuda-map-alignment',
      'vectors are written where they do not fit',
      '((reinterpret_cast<uintptr_t>(out) % (kWidest * sizeof(Out)) == 0) && ... &&',
      '((reinterpret_cast<uintptr_t>(out) % sizeof(Out) == 0) && ... &&',
    ],
    [
      'cuda-map-after-error',
      'what was there changes after an error',
      'if (record != nullptr && has_error(record)) return;',
      'if (record == nullptr && has_error(record)) return;',
      afterError,
    ],
  ]),
  ...faults('cuda/common/rows.cuh', 'layers/elementwise', [
    [
      'cuda-rows-last-column',
      'the last columns of a row',
      'for (int64_t column = first; column < columns; column += step)',
      'for (int64_t column = first; column + N < columns; column += step)',
    ],
    [
      'cuda-rows-behind-the-last',
      'what lies behind a row is read with it',
      'values[i] = column + i < dim ? to_float(row[column + i]) : 0.0f;',
      'values[i] = column + i <= dim ? to_float(row[column + i]) : 0.0f;',
      'layers/rms-norm',
    ],
  ]),
  ...faults('cuda/common/exp.cuh', 'layers/elementwise', [
    ['cuda-exp-last-term', 'the last term of the series of exp', 'float p = 1.0f / 5040;', 'float p = 0;'],
    [
      'cuda-exp-reduction',
      'the fifth digit of the small part of ln 2 in exp',
      'n * part\n  r = fmaf(n, 2.12194440e-4f, r);',
      'n * part\n  r = fmaf(n, 2.12184440e-4f, r);',
    ],
    [
      'cuda-exp-or-zero-term',
      'the last term of the polynomial of the exponentials of the loss',
      'float p = 0x1.6a23cep-10f;',
      'float p = 0;',
      'loss/linear-cross-entropy',
    ],
    [
      'cuda-silu-slope-cancellation',
      '1 - sigmoid(x) as a difference',
      'return x < 0.0f ? Sigmoid{small, large} : Sigmoid{large, small};',
      'return x < 0.0f ? Sigmoid{small, 1.0f - small} : Sigmoid{large, 1.0f - large};',
    ],
  ]),
  ...faults('cuda/layers/elementwise.cu', 'layers/elementwise', [
    [
      'cuda-copy-last-byte',
      'the last byte of those that fill no unit',
      'for (int64_t i = units * static_cast<int64_t>(sizeof(Unit)) + first; i < bytes; i += threads)',
      'for (int64_t i = units * static_cast<int64_t>(sizeof(Unit)) + first; i + 1 < bytes; i += threads)',
    ],
    [
      'cuda-copy-alignment',
      'the alignment of what is copied to, not of what is copied from',
      'const uintptr_t addresses = reinterpret_cast<uintptr_t>(args.in) | reinterpret_cast<uintptr_t>(args.out);',
      'const uintptr_t addresses = reinterpret_cast<uintptr_t>(args.out);',
    ],
    [
      'cuda-copy-after-error',
      'a copy overwrites what was there after an error',
      'if (has_error(record)) return;',
      '',
      afterError,
    ],
    [
      'cuda-swiglu-backward-up',
      'the gate in the gradient of what it lets through',
      'grad_up[i] = grad[i] * gate[i] * s.value;',
      'grad_up[i] = grad[i] * s.value;',
    ],
    [
      'cuda-slice-alignment',
      'a slice is read in vectors wherever it begins',
      'vectors_fit({copy.in, copy.out}, {',
      'vectors_fit({copy.out}, {',
    ],
    [
      'cuda-accumulate-dtype',
      'what is added is read as what it is added to',
      'map_over(context, args.count, out, add, out, static_cast<const decltype(in_type)*>(args.in));',
      'map_over(context, args.count, out, add, out, static_cast<const decltype(out_type)*>(args.in));',
    ],
  ]),
  ...faults('cuda/layers/rms_norm.cu', 'layers/rms-norm', [
    [
      'cuda-rms-norm-eps',
      'eps is added to the root and not under it',
      '1.0f / sqrtf(squares / static_cast<float>(dim) + args.eps)',
      '1.0f / (sqrtf(squares / static_cast<float>(dim)) + args.eps)',
    ],
    [
      'cuda-rms-norm-sum-unrounded',
      'the norm of a sum before it is rounded',
      'values[i] = to_float(from_float<T>(values[i] + residual[i]));',
      'values[i] = values[i] + residual[i];',
    ],
    [
      'cuda-rms-norm-backward-rstd',
      'one factor 1/rms of the gradient through the norm',
      'g[i] = rstd * fmaf(-mean, v[i] * rstd, g[i] * w[i]);',
      'g[i] = rstd * fmaf(-mean, v[i], g[i] * w[i]);',
    ],
    [
      'cuda-rms-norm-last-team',
      'the rows of the last team end where those of a whole one would',
      'end = std::min(args.rows, begin + rows_each);',
      'end = begin + rows_each;',
    ],
    [
      'cuda-rms-norm-partials',
      'a row that begins a team is not in the gradient of the weight',
      '    for (int64_t row = begin; row < end; ++row) {\n      float g[N], v[N];',
      '    for (int64_t row = begin + 1; row < end; ++row) {\n      float g[N], v[N];',
    ],
  ]),
  ...faults('cuda/layers/embedding.cu', 'layers/embedding', [
    [
      'cuda-embedding-beyond-vocabulary',
      'the token behind the last is read',
      'if (reporter.check(Argument::kTokens, row, token, 0, vocab - 1)) load<N>',
      'if (reporter.check(Argument::kTokens, row, token, 0, vocab)) load<N>',
    ],
    [
      'cuda-embedding-backward-order',
      'rows of a token that stands in few are added from the last to the first',
      'place += __shfl_sync(kAllLanes, mine, i) < mine;',
      'place += __shfl_sync(kAllLanes, mine, i) > mine;',
    ],
    [
      'cuda-embedding-backward-rest',
      'what is left in the queue when all rows were seen',
      'const bool last = group == kGroups - 1 && first + kGroups * kWarp >= rows;',
      'const bool last = false;',
    ],
    [
      'cuda-embedding-backward-full-list',
      'a list of 33 rows is taken for one that fits a warp',
      'if (count <= kWarp) add_list',
      'if (count <= kWarp + 1) add_list',
    ],
    [
      'cuda-embedding-backward-list-barrier',
      'the list is read before it was written',
      'queue[place] = mine;\n  __syncwarp();',
      'queue[place] = mine;',
    ],
    [
      'cuda-embedding-backward-queue-barrier',
      'the queue is written while it is read',
      'sums.add(queued);\n      __syncwarp();',
      'sums.add(queued);',
    ],
    [
      'cuda-embedding-backward-after-error',
      'gradients are added to after an error',
      'if (has_error(record)) return;',
      '',
      afterError,
    ],
  ]),
  ...faults('cuda/optimizer/optimizer.cu', 'optimizer/optimizer', [
    [
      'cuda-sum-squares-rest',
      'elements behind the last vector are read with it',
      'if (i + N <= count) load_columns<kVectors>',
      'if (i < count) load_columns<kVectors>',
    ],
    [
      'cuda-sum-squares-parts',
      'parts beyond the first of each thread',
      'for (int64_t i = threadIdx.x; i < parts; i += kSumThreads) sum += sums[i];',
      'if (threadIdx.x < parts) sum = sums[threadIdx.x];',
    ],
    [
      'cuda-sum-squares-float32',
      'squares are rounded to float32 before they are added',
      'sum = fma(static_cast<double>(values[j]), static_cast<double>(values[j]), sum);',
      'sum += values[j] * values[j];',
    ],
    ['cuda-clip-eps', 'the 10⁻⁶ beside the norm', '(norm + 1e-6)', 'norm'],
    [
      'cuda-adamw-decay-order',
      'the update decays, too',
      'param[j] = fmaf(-s.step, update, s.decay * param[j]);',
      'param[j] = s.decay * fmaf(-s.step, update, param[j]);',
    ],
    [
      'cuda-adamw-last',
      'the last of the parameters that fill no vector',
      'i < args.count; i += threads) adamw_at<1>',
      'i + 1 < args.count; i += threads) adamw_at<1>',
    ],
    [
      'cuda-adamw-after-error',
      'parameters change after an error',
      'if (has_error(record)) return;',
      '',
      afterError,
    ],
  ]),
];
