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

/** Translates Hugging Face's name of a tensor; undefined for tensors that the format has no place for. */
export function ggufName(name: string, { names }: Architecture): string | undefined {
  const [, layer, what, kind] = /^(?:model\.layers\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(name) ?? [];
  const table = layer === undefined ? OTHER_NAMES : { ...LAYER_NAMES, ...names };
  // The architecture's own names come last and win.
  const found = Object.keys(table).findLast((key) => table[key] === what);
  return found && `${layer === undefined ? '' : `blk.${layer}.`}${found}.${kind!}`;
}
