import { native } from '../native/load';
import type { Tensor } from './tensor';

/** Writes the device's time, in microseconds modulo 2^32, to out[index] once everything enqueued before has run. */
export function timestamp(out: Tensor, index: number): void {
  native.timestamp(out.handle, index);
}
