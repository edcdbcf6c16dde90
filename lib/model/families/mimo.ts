import type { Family } from './family';
import { qwen2 } from './qwen2';

/** MiMo: Qwen 2 with modules that predict further tokens. */
export const mimo: Family = {
  ...qwen2,
  className: 'MiMo',
  modules: (_, i) => ({
    ...{ prefix: `model.mtp_layers.${i}.`, tokenNorm: 'token_layernorm', stateNorm: 'hidden_layernorm' },
    ...{ projection: 'input_proj', block: '', norm: 'final_layernorm', stateFirst: true },
  }),
};
