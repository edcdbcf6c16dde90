import type { FileHandle } from 'node:fs/promises';
import { boolean, check, checkOptions, instance, oneOf, path as pathChecker, type Schema } from '../../check';
import { ForetokenError } from '../../errors';
import { writeFileAtomic, writeFully } from '../../files';
import type { WeightDType } from '../../tensor/types';
import { MtpModel } from '../model';
import { storedTensors } from '../pieces';
import type { NamedTensor } from '../safetensors';
import { TOKENIZER, type Tokenizer } from '../tokenizer';
import { ARCHITECTURES, type Architecture } from './architectures';
import { ROPE_FACTORS } from './config';
import { Bytes, MetadataWriter } from './encode';
import {
  bytesOf,
  DEFAULT_ALIGNMENT,
  elements,
  MAGIC,
  TENSOR_TYPES,
  VERSION,
  type TensorType,
} from './format';
import { ggufName } from './names';
import { fromBfloat16, toBfloat16, toQ8 } from './quantize';
import { inPairs, isRotated } from './weights';
import { architectureOf, ropeFactorsOf, writeConfig } from './write-config';
import { writeTokenizer } from './write-tokenizer';

/** Options of {@link saveGguf}. */
export interface SaveGgufOptions {
  /** Type of matrices: float32 (F32), bfloat16 (BF16) or int8 (Q8_0). Norms and biases are float32. Default: that of the model. */
  dtype?: WeightDType;
  /** Whether to leave heads 2 … n out. Default false: a model with such heads is refused. */
  trunkOnly?: boolean;
}

const OPTIONS: Schema<SaveGgufOptions> = {
  dtype: oneOf('float32', 'bfloat16', 'int8'),
  trunkOnly: boolean,
};

const MATRICES: Record<WeightDType, TensorType> = { float32: 'F32', bfloat16: 'BF16', int8: 'Q8_0' };

/**
 * Writes a model with its tokenizer as one GGUF file, for llama.cpp and what is built on it. The file appears complete, or not at all.
 * @throws INVALID_ARGUMENT naming the option; UNSUPPORTED for a model in int8, and for anything that llama.cpp has no place for, heads
 * 2 … n among them; FILE_ACCESS if the system refuses
 * @example
 * ```ts
 * import { loadModel, openDevice, saveGguf } from 'foretoken';
 *
 * using device = openDevice('cpu');
 * const { model, tokenizer } = await loadModel(device, 'models/first');
 * await saveGguf('models/first.gguf', model, tokenizer, { dtype: 'bfloat16', trunkOnly: true });
 * ```
 */
export async function saveGguf(
  path: string,
  model: MtpModel,
  tokenizer: Tokenizer,
  options: SaveGgufOptions = {},
): Promise<void> {
  check('saveGguf: path', path, pathChecker);
  check('saveGguf: model', model, instance(MtpModel));
  check('saveGguf: tokenizer', tokenizer, TOKENIZER);
  const { dtype = model.parameters.storedDtype, trunkOnly = false } = checkOptions(
    'saveGguf',
    options,
    OPTIONS,
  );
  const { config } = model;
  const name = architectureOf(config);
  if (config.mtp.numHeads > 1 && !trunkOnly) {
    const problem = `heads 2 … ${config.mtp.numHeads} of kind "${config.mtp.kind}"; leave them out with trunkOnly`;
    throw new ForetokenError('UNSUPPORTED', `saveGguf: llama.cpp has no place for ${problem}`);
  }
  const metadata = new MetadataWriter();
  metadata.string('general.architecture', name);
  metadata.uint32('general.alignment', DEFAULT_ALIGNMENT);
  writeConfig(metadata, name, config);
  writeTokenizer(metadata, tokenizer, config);
  const tensors = tensorsOf(model, ARCHITECTURES[name]!, MATRICES[dtype]);
  await writeFileAtomic(path, (handle) => writeFile(handle, metadata, tensors));
}

/** A tensor to write; `data` returns its bytes. */
interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: TensorType;
  data(): Promise<Uint8Array>;
}

/** Lists the trunk's tensors by their names in the file. */
function tensorsOf(model: MtpModel, architecture: Architecture, matrices: TensorType): Tensor[] {
  const { headDim, numHiddenLayers } = model.config;
  const trunk = storedTensors(model).flatMap((tensor): Tensor[] => {
    const name = ggufName(tensor.name, architecture);
    // Modules of heads may lie in layers after the trunk's last one.
    const [, layer = 0] = /^blk\.(\d+)\./.exec(name ?? '') ?? [];
    if (name === undefined || Number(layer) >= numHiddenLayers) return [];
    const type = tensor.shape.length > 1 ? matrices : 'F32';
    checkBlocks(tensor, type);
    const isInPairs = architecture.inPairs === true && isRotated(tensor.name);
    const data = async (): Promise<Uint8Array> => {
      const values = await valuesOf(tensor);
      const ordered = isInPairs ? inPairs(values, tensor.shape[0]!, headDim) : values;
      return encode(ordered, type);
    };
    return [{ name, shape: tensor.shape, type, data }];
  });
  const factors = ropeFactorsOf(model.config);
  if (!factors) return trunk;
  const data = (): Promise<Uint8Array> => Promise.resolve(new Uint8Array(factors.buffer));
  return [{ name: ROPE_FACTORS, shape: [factors.length], type: 'F32', data }, ...trunk];
}

function checkBlocks({ name, shape }: NamedTensor, type: TensorType): void {
  const { size } = TENSOR_TYPES[type];
  if (shape.at(-1)! % size === 0) return;
  const problem = `int8 needs rows of a multiple of ${size} numbers, but those of "${name}" have ${shape.at(-1)}`;
  throw new ForetokenError('UNSUPPORTED', `saveGguf: ${problem}`);
}

/** Reads the values of a tensor of the model, which may be bfloat16, as float32. */
async function valuesOf({ data, dtype }: NamedTensor): Promise<Float32Array<ArrayBuffer>> {
  const values = typeof data === 'function' ? await data() : data;
  return dtype === 'BF16' ? fromBfloat16(values as Uint16Array) : (values as Float32Array<ArrayBuffer>);
}

function encode(values: Float32Array, type: TensorType): Uint8Array {
  if (type === 'Q8_0') return toQ8(values);
  const array = type === 'BF16' ? toBfloat16(values) : values;
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

async function writeFile(
  handle: FileHandle,
  metadata: MetadataWriter,
  tensors: readonly Tensor[],
): Promise<void> {
  const head = new Bytes()
    .add(Buffer.from(MAGIC))
    .uint32(VERSION)
    .uint64(tensors.length)
    .uint64(metadata.count);
  head.add(metadata.bytes.toBytes());
  const aligned = (size: number): number => Math.ceil(size / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT;
  const offsets: number[] = [];
  let end = 0;
  for (const { name, shape, type } of tensors) {
    offsets.push(end);
    head.string(name).uint32(shape.length);
    for (const size of shape.toReversed()) head.uint64(size);
    head.uint32(TENSOR_TYPES[type].number).uint64(end);
    end = aligned(end + bytesOf(type, elements(shape)));
  }
  const start = head.pad(DEFAULT_ALIGNMENT).length;
  await writeFully(handle, head.toBytes(), 0);
  for (const [i, tensor] of tensors.entries())
    await writeFully(handle, await tensor.data(), start + offsets[i]!);
  // Readers expect padding behind the last tensor, too.
  await handle.truncate(start + end);
}
