import { native } from '../lib/native/load';
import { openDevice } from '../lib/tensor/device';
import type { DeviceOptions } from '../lib/tensor/device-options';
import { bare, ceilings, productRate, type Bench } from './harness';

/** Measures this machine's ceilings: multiply-adds in registers for every instruction-set level, and reading memory. */
export const machine: Bench = {
  name: 'machine',
  async run({ device, dtype }, report) {
    const one = (name: string, params: Record<string, string>, unit: string, median: number): void =>
      report(bare(`machine/${name}`, params, unit, [median]));
    if (device.name === 'cpu') {
      for (const isa of native.cpuInfo().isaLevels) {
        using level = openDevice('cpu', { isa: isa as DeviceOptions['isa'] });
        const rates = await ceilings(level);
        for (const type of ['float32', 'bfloat16', 'int8'] as const) {
          one('multiply-add', { isa, dtype: type }, 'flop/s', productRate(rates, type));
        }
      }
    } else {
      const rates = await ceilings(device);
      one('multiply-add', { device: device.name }, 'flop/s', rates.flopsPerSecond);
      one('product', { device: device.name, dtype }, 'flop/s', productRate(rates, dtype));
    }
    one('read', {}, 'byte/s', (await ceilings(device)).readBytesPerSecond);
  },
};
