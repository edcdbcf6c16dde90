import { gemma3 } from './gemma3';
import { granite } from './granite';
import { llama } from './llama';
import { mimo } from './mimo';
import { mistral } from './mistral';
import { olmo2 } from './olmo2';
import { phi3 } from './phi3';
import { qwen2 } from './qwen2';
import { qwen3 } from './qwen3';
import { qwen35 } from './qwen3_5';
import { smollm3 } from './smollm3';
import type { Family } from './family';

/** All families by the name that config.json has as `model_type`. */
export const FAMILIES = {
  llama,
  mistral,
  qwen2,
  qwen3,
  qwen3_5_text: qwen35,
  mimo,
  smollm3,
  phi3,
  gemma3_text: gemma3,
  olmo2,
  granite,
} as const satisfies Record<string, Family>;

/** The model families that the trunk implements, as config.json names them. */
export type ModelType = keyof typeof FAMILIES;

/** Names of all families. */
export const MODEL_TYPES = Object.keys(FAMILIES) as ModelType[];

/** Returns the family of a model. */
export function familyOf({ modelType }: { modelType: ModelType }): Family {
  return FAMILIES[modelType];
}
