import type { ModuleLayout } from '../heads/mtp-module';
import type { ModelConfig } from './config';
import { familyOf } from './families';

/** Names the tensors of module i of a model, 0 … */
export type ModuleLayouts = (config: ModelConfig, i: number) => ModuleLayout;

/** As in DeepSeek-V3 and GLM-4.5, and in GGUF files of all models: layers after the trunk's last one. */
const layersAfterTrunk: ModuleLayouts = ({ numHiddenLayers }, i) => ({
  ...{ prefix: `model.layers.${numHiddenLayers + i}.`, tokenNorm: 'enorm', stateNorm: 'hnorm' },
  ...{ projection: 'eh_proj', block: '', norm: 'shared_head.norm', stateFirst: false },
});

/** Names the tensors of module i as the family of a model does. */
export function moduleLayout(config: ModelConfig, i: number): ModuleLayout {
  return (familyOf(config).modules ?? layersAfterTrunk)(config, i);
}

/** Names the tensors of all modules that recursive heads of a model have. */
export function modulesOf(config: ModelConfig): ModuleLayout[] {
  return Array.from({ length: config.mtp.modules ?? 1 }, (_, i) => moduleLayout(config, i));
}
