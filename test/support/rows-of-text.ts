import { nextPositions } from '../../lib/decode/next-positions';
import type { MtpModel } from '../../lib/model/model';
import type { Rows } from '../../lib/nn/rows';
import { own } from '../../lib/tensor/scope';

/** The rows of a text of a model: of training or, with recurrent layers, of decoding, whose cache belongs to the enclosing scope. */
export function rowsOfText(model: MtpModel, length: number): Rows {
  model.tables.reserve(length);
  if (model.config.layerTypes?.includes('linear_attention')) {
    const cache = own(model.createCache(length));
    cache.reserve(0, length);
    return nextPositions(cache, length);
  }
  const ints = (values: number[]) => model.device.tensor(Int32Array.from(values));
  const positions = Array.from({ length }, (_, i) => i);
  return { kind: 'packed', batch: 1, starts: ints(positions.map(() => 0)), positions: ints(positions) };
}
