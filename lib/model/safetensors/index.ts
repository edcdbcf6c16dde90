export type { SafetensorsDType, TensorData, TensorInfo } from './format';
export { readSafetensors, shardFiles, type SafetensorsFile } from './read';
export { writeSafetensors, type NamedTensor } from './write';
