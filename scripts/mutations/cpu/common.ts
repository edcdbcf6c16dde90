import { faults, type Mutation } from '../mutation';

export const common: readonly Mutation[] = [
  ...faults('cpu/simd.h', 'ops/layers/elementwise', [
    {
      name: 'exp-sixth-digit',
      breaks: 'the sixth digit of a coefficient of exp',
      find: 'p = fma(p, r, broadcast(0.5f));',
      replace: 'p = fma(p, r, broadcast(0.500001f));',
      caught: 'avx512 40001 elements, and 6 more',
    },
    {
      name: 'exp-last-term',
      breaks: 'the last term of the series of exp',
      find: 'Vec p = broadcast(1.0f / 5040);',
      replace: 'Vec p = broadcast(0.0f);',
      caught: 'avx512 40001 elements, and 5 more',
    },
    {
      name: 'exp-reduction',
      breaks: 'the fifth digit of the small part of ln 2 in exp',
      find: 'r = fma(n, broadcast(2.12194440e-4f), r);',
      replace: 'r = fma(n, broadcast(2.1219e-4f), r);',
      caught: 'avx512 silu over the whole range, as good as exp is said to be, and 2 more',
    },
    {
      name: 'bfloat16-tie',
      breaks: 'a tie is rounded up to bfloat16, and not to even',
      find: '(bits + 0x7fff + ((bits >> 16) & 1)) >> 16',
      replace: '(bits + 0x8000) >> 16',
      caught: 'casts on avx512 float32 becomes the nearest bfloat16, and 2 more',
    },
  ]),

  ...faults('cpu/simd.h', 'ops/attention/attention', [
    {
      name: 'log-fifth-digit',
      breaks: 'the fifth digit of a coefficient of log',
      find: 'series = fma(series, s2, broadcast(2.0f / 3));',
      replace: 'series = fma(series, s2, broadcast(0.66661f));',
      caught:
        'attention on avx512 gives the backward pass denominators as good as log is said to be, and 2 more',
    },
  ]),
];
