import { faults, type Mutation } from '../mutation';

export const optimizer: readonly Mutation[] = [
  ...faults('cpu/optimizer/optimizer.cc', 'ops/optimizer/optimizer', [
    {
      name: 'adamw-bias-correction-1',
      breaks: 'the first moment has no bias correction',
      find: 'static_cast<float>(args.lr / args.bias_correction1)',
      replace: 'static_cast<float>(args.lr)',
      caught: 'avx512 AdamW on 1 parameters over three steps, and 23 more',
    },
    {
      name: 'adamw-bias-correction-2',
      breaks: 'the bias correction of the second moment lacks its square root',
      find: '__builtin_sqrt(args.bias_correction2)',
      replace: 'args.bias_correction2',
      caught: 'avx512 AdamW on 1 parameters over three steps, and 23 more',
    },
    {
      name: 'adamw-float32-rest',
      breaks: '1 - β₂ is computed in float32',
      find: 'static_cast<float>(1 - args.beta2)',
      replace: '1 - static_cast<float>(args.beta2)',
      caught: 'avx512 AdamW on 1 parameters over three steps, and 23 more',
    },
    {
      name: 'adamw-decay',
      breaks: 'weight decay lacks the learning rate',
      find: 'static_cast<float>(1 - args.lr * args.weight_decay)',
      replace: 'static_cast<float>(1 - args.weight_decay)',
      caught: 'avx512 AdamW on 1 parameters over three steps, and 23 more',
    },
    {
      name: 'adamw-decay-order',
      breaks: 'weight decay also shrinks the update',
      find: 'fma(-step, update, decay * load_n(args.param + i, lanes))',
      replace: 'decay * fma(-step, update, load_n(args.param + i, lanes))',
      caught: 'avx512 AdamW on 1 parameters over three steps, and 22 more',
    },
    {
      name: 'adamw-eps',
      breaks: 'eps is added before the bias correction',
      find: 'sqrt(v) / root2 + eps',
      replace: '(sqrt(v) + eps) / root2',
      caught: 'avx512 AdamW on 1 parameters over three steps, and 23 more',
    },
    {
      name: 'adamw-scale-nan',
      breaks: 'a step is made with a gradient that is not finite',
      find: 'if (args.grad_scale && __builtin_isnan(*args.grad_scale)) return;',
      replace: '',
      caught: 'avx512bf16 a scale of NaN leaves 1 parameters and their moments unchanged, and 20 more',
    },
    {
      name: 'clip-eps',
      breaks: 'the norm lacks the 10⁻⁶ that is added to it',
      find: '(norm + 1e-6)',
      replace: 'norm',
      caught: 'avx512 clipping [9, 16] to 1, and 2 more',
    },
    {
      name: 'norm-float32-total',
      breaks: 'the parts of a sum of squares are added in float32',
      find: 'double total = 0;\n  for (int64_t part = 0;',
      replace: 'float total = 0;\n  for (int64_t part = 0;',
      caught: 'avx512 nothing has the sum 0, and a large sum of small numbers is not lost, and 2 more',
    },
  ]),
];
