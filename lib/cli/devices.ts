import type { MachineRates } from '../tensor/types';
import { devices, openDevice } from '../tensor/device';
import type { DeviceName } from '../tensor/device-options';
import { UsageError, type Parsed } from './arguments';
import type { DEVICES } from './devices-flags';

export async function devicesCommand({ values, positionals }: Parsed<typeof DEVICES.flags>): Promise<number> {
  if (positionals.length > 0)
    throw new UsageError(`'${positionals[0]}' is unexpected; devices takes options only`);
  const listings = [];
  for (const listing of devices()) {
    const rates = values.measure && listing.available ? await measure(listing.name as DeviceName) : undefined;
    listings.push({ ...listing, rates });
  }
  if (values.json) {
    console.log(JSON.stringify(listings));
    return 0;
  }
  for (const { name, available, description, rates } of listings) {
    console.log(`${name.padEnd(8)} ${available ? description : `not available: ${description}`}`);
    if (!rates) continue;
    const { flopsPerSecond, matmulFlopsPerSecond, int8FlopsPerSecond, readBytesPerSecond } = rates;
    const giga = (rate: number, digits = 0): string => (rate / 1e9).toFixed(digits);
    const products = [
      `${giga(flopsPerSecond)} GFLOP/s in float32`,
      ...(matmulFlopsPerSecond > flopsPerSecond
        ? [`${giga(matmulFlopsPerSecond)} in bfloat16 products`]
        : []),
      ...(int8FlopsPerSecond > 0 ? [`${giga(int8FlopsPerSecond)} in int8 products`] : []),
    ];
    console.log(`${''.padEnd(8)} ${products.join(', ')}, reads ${giga(readBytesPerSecond, 1)} GB/s`);
  }
  return 0;
}

async function measure(name: DeviceName): Promise<MachineRates> {
  using device = openDevice(name);
  return await device.measure();
}
