import { faults, type Mutation } from '../mutation';

export const common: readonly Mutation[] = [
  ...faults('cpu/simd.h', 'ops/layers/elementwise', [
    {
      name: 'exp-sixth-digit',
      breaks: 'a coefficient of exp is wrong in the sixth digit',
      find: 'p = fma(p, r, broadcast(0.5f));',
      replace: 'p = fma(p, r, broadcast(0.500001f));',
      caught: 'avx512 40001 elements, and 6 more',
    },
    {
      name: 'exp-last-term',
      breaks: 'the series of exp lacks the last term',
      find: 'Vec p = broadcast(1.0f / 5040);',
      replace: 'Vec p = broadcast(0.0f);',
      caught: 'avx512 40001 elements, and 5 more',
    },
    {
      name: 'exp-reduction',
      breaks: 'the low part of ln 2 in exp is wrong in the fifth digit',
      find: 'r = fma(n, broadcast(2.12194440e-4f), r);',
      replace: 'r = fma(n, broadcast(2.1219e-4f), r);',
      caught: 'avx512 silu over the whole range, as good as exp is said to be, and 2 more',
    },
    {
      name: 'bfloat16-tie',
      breaks: 'a tie is rounded up to bfloat16 instead of to even',
      find: '(bits + 0x7fff + ((bits >> 16) & 1)) >> 16',
      replace: '(bits + 0x8000) >> 16',
      caught: 'casts on avx512bf16 float32 becomes the nearest bfloat16, and 2 more',
    },
  ]),

  ...faults('cpu/simd.h', 'ops/attention/attention', [
    {
      name: 'log-fifth-digit',
      breaks: 'a coefficient of log is wrong in the fifth digit',
      find: 'series = fma(series, s2, broadcast(2.0f / 3));',
      replace: 'series = fma(series, s2, broadcast(0.66661f));',
      caught:
        'attention on avx512 gives the backward pass denominators as good as log is said to be, and 2 more',
    },
  ]),
];
