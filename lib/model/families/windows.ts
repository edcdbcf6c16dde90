import { arrayOf, boolean, integer, oneOf, show, type Checker } from '../../check';
import type { LayerType, ModelConfig } from '../config';
import type { Fields, Json } from '../fields';

/** Which layers attend to the last positions only. */
export type Windows = Pick<ModelConfig, 'slidingWindow' | 'layerTypes'>;

/** How config.json says in what the layers of a model differ. */
export interface LayerKeys {
  /** Reads the keys of a model with so many layers. */
  read(fields: Fields, layers: number): Partial<ModelConfig>;
  /** Writes them. */
  write(config: ModelConfig): Json;
}

const WIDTH = integer(1, 2 ** 31 - 1);
const TYPES: Checker<LayerType[]> = arrayOf(oneOf('full_attention', 'sliding_attention'));

/** Reads `layer_types`, one for each layer; undefined if the file has none. */
export function readTypes(
  fields: Fields,
  layers: number,
  by: Checker<LayerType[]> = TYPES,
): LayerType[] | undefined {
  const types = fields.check('layer_types', by);
  if (types && types.length !== layers) {
    fields.fail('layer_types', `has ${types.length} elements, but num_hidden_layers is ${layers}`);
  }
  return types;
}

/** Brings windows to one form: null for what says nothing. */
function windows(slidingWindow: number | undefined, types: LayerType[]): Windows {
  if (slidingWindow === undefined || !types.includes('sliding_attention')) {
    return { slidingWindow: null, layerTypes: null };
  }
  return { slidingWindow, layerTypes: types.includes('full_attention') ? types : null };
}

/** Lists the types of all layers. */
export function typesOf({ slidingWindow, layerTypes, numHiddenLayers }: ModelConfig): LayerType[] {
  const type = slidingWindow === null ? 'full_attention' : 'sliding_attention';
  return layerTypes ? [...layerTypes] : new Array<LayerType>(numHiddenLayers).fill(type);
}

/** No layer has a window. */
export const noWindows: LayerKeys = {
  read: (fields, layers) => {
    if (readTypes(fields, layers)?.includes('sliding_attention')) {
      fields.fail('layer_types', 'must all be "full_attention", but one is "sliding_attention"');
    }
    return windows(undefined, []);
  },
  write: () => ({}),
};

/** All layers have the window `sliding_window`, if it is not null. */
export const everyLayer: LayerKeys = {
  read: (fields, layers) => {
    const width = fields.check('sliding_window', WIDTH);
    const type = width === undefined ? 'full_attention' : 'sliding_attention';
    const other = readTypes(fields, layers)?.find((each) => each !== type);
    if (other) {
      fields.fail(
        'layer_types',
        `must all be "${type}" (sliding_window is ${show(width ?? null)}), but one is "${other}"`,
      );
    }
    return windows(width, new Array<LayerType>(layers).fill(type));
  },
  write: ({ slidingWindow }) => ({ sliding_window: slidingWindow }),
};

/**
 * Reads windows that `use_sliding_window` turns on.
 * @param hasWindow which layers have a window if the file has no `layer_types`
 */
export function readFlagged(fields: Fields, layers: number, hasWindow: (layer: number) => boolean): Windows {
  const isOn = fields.check('use_sliding_window', boolean) ?? false;
  const width = fields.check('sliding_window', WIDTH);
  const given = readTypes(fields, layers);
  if (given?.includes('sliding_attention') && (!isOn || width === undefined)) {
    const off = isOn ? 'sliding_window is null' : 'use_sliding_window is false';
    fields.fail('layer_types', `has "sliding_attention", but ${off}`);
  }
  if (!isOn) return windows(undefined, []);
  const types = Array.from({ length: layers }, (_, layer): LayerType =>
    hasWindow(layer) ? 'sliding_attention' : 'full_attention',
  );
  return windows(width, given ?? types);
}

/** Writes windows for {@link readFlagged}. */
export function writeFlagged(config: ModelConfig): Json {
  const { slidingWindow } = config;
  return {
    ...{ use_sliding_window: slidingWindow !== null, sliding_window: slidingWindow },
    layer_types: typesOf(config),
  };
}

/** Layers from `max_window_layers` on have a window (Qwen). */
export const lastLayers: LayerKeys = {
  read: (fields, layers) => {
    const first = fields.check('max_window_layers', integer(0)) ?? 0;
    return readFlagged(fields, layers, (layer) => layer >= first);
  },
  write: (config) => {
    const first = typesOf(config).indexOf('sliding_attention');
    return { ...writeFlagged(config), max_window_layers: first < 0 ? config.numHiddenLayers : first };
  },
};

/** All layers have a window, except every sixth, or as `sliding_window_pattern` says (Gemma 3). */
export const alternating: LayerKeys = {
  read: (fields, layers) => {
    const width = fields.check('sliding_window', WIDTH);
    const old = fields.check('_sliding_window_pattern', integer(1));
    const pattern = fields.check('sliding_window_pattern', integer(1)) ?? old ?? 6;
    const types = Array.from({ length: layers }, (_, layer): LayerType =>
      (layer + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention',
    );
    return windows(width, readTypes(fields, layers) ?? types);
  },
  write: (config) => ({ sliding_window: config.slidingWindow, layer_types: typesOf(config) }),
};
