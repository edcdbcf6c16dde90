import { faults, type Mutation } from '../mutation';

export const optimizer: readonly Mutation[] = [
  ...faults('cuda/optimizer/optimizer.cu', 'ops/optimizer/optimizer', [
    {
      name: 'cuda-sum-squares-rest',
      breaks: 'elements past the end are read with the last vector',
      find: 'if (i + N <= count) load_columns<kVectors>',
      replace: 'if (i < count) load_columns<kVectors>',
      caught: 'cuda-checked sum of squares of 1, and 7 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-sum-squares-parts',
      breaks: 'each thread adds only its first partial sum',
      find: 'for (int64_t i = threadIdx.x; i < parts; i += kSumThreads) sum += sums[i];',
      replace: 'if (threadIdx.x < parts) sum = sums[threadIdx.x];',
      caught: 'cuda-checked nothing has the sum 0, and a large sum of small numbers is not lost',
    },
    {
      name: 'cuda-sum-squares-float32',
      breaks: 'squares are rounded to float32 before they are added',
      find: 'sum = fma(static_cast<double>(values[j]), static_cast<double>(values[j]), sum);',
      replace: 'sum += values[j] * values[j];',
      caught: 'cuda-checked squares are not rounded before they are added',
    },
    {
      name: 'cuda-clip-eps',
      breaks: 'the norm lacks the 10⁻⁶ that is added to it',
      find: '(norm + 1e-6)',
      replace: 'norm',
      caught: 'cuda-checked clipping [9, 16] to 1',
    },
    {
      name: 'cuda-adamw-decay-order',
      breaks: 'weight decay also shrinks the update',
      find: 'param[j] = fmaf(-s.step, update, s.decay * param[j]);',
      replace: 'param[j] = s.decay * fmaf(-s.step, update, param[j]);',
      caught: 'cuda-checked AdamW on 1 parameters over three steps, and 7 more',
    },
    {
      name: 'cuda-adamw-scale-nan',
      breaks: 'a step is made with a gradient that is not finite',
      find: 'if (isnan(scale)) return;',
      replace: '',
      caught: 'cuda-checked a scale of NaN leaves 1 parameters and their moments unchanged, and 6 more',
    },
    {
      name: 'cuda-adamw-last',
      breaks: 'the last parameter after the vectors is skipped',
      find: 'i < args.count; i += threads) adamw_at<1>',
      replace: 'i + 1 < args.count; i += threads) adamw_at<1>',
      caught: 'cuda-checked AdamW on 1 parameters over three steps, and 14 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/optimizer/optimizer.cu', 'ops/after-error', [
    {
      name: 'cuda-adamw-after-error',
      breaks: 'parameters change after an error',
      find: 'if (has_error(record)) return;',
      replace: '',
      caught: 'after an error on cuda-checked adamw changes nothing',
    },
  ]),
];
