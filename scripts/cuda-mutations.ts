// What `npm run mutate -- cuda` breaks in the kernels for GPUs, one at a time: barriers, stages, fragments, fences, edges. Their
// tests run on the emulator with its race checker, and it or an expectation must notice.
import { faults, type Mutation } from './mutations';

export const cudaMutations: readonly Mutation[] = [...faults('cuda/elementwise.cu', 'elementwise', [])];
