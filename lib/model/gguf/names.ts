import { LAYER_NAMES, OTHER_NAMES, type Architecture } from './architectures';

/**
 * Translates the name of a tensor to Hugging Face's. A name that is not known stays as it is, so that the model refuses it by the name
 * that the file has.
 */
export function huggingFaceName(name: string, { names }: Architecture): string {
  const [, layer, what, kind] = /^(?:blk\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(name) ?? [];
  const table = layer === undefined ? OTHER_NAMES : { ...LAYER_NAMES, ...names };
  if (what === undefined || !Object.hasOwn(table, what)) return name;
  const prefix = layer === undefined ? '' : `model.layers.${layer}.`;
  return `${prefix}${table[what]!}.${kind!}`;
}
