import { check, checkOptions, integer, nullable, type Schema } from '../check';
import { ForetokenError } from '../errors';
import { headKind } from '../heads';
import type { Heads } from '../heads/heads';
import { checkHeads, featureLayers } from '../heads/inputs';
import { Block } from '../nn/block';
import type { GatedDeltaConfig } from '../nn/block-config';
import { STORE_OPTIONS } from '../nn/checks';
import { weightFor } from '../nn/linear';
import { ModelCache } from '../nn/model-cache';
import { ParameterStore, type Parameter, type StoreOptions } from '../nn/parameters';
import { RMSNorm } from '../nn/rms-norm';
import { RopeTables } from '../nn/rope-tables';
import type { Rows } from '../nn/rows';
import type { ActivationDType } from '../tensor/types';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { concat, scale } from '../tensor/ops/layers/elementwise';
import { embedding } from '../tensor/ops/layers/embedding';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { headLayerConfig, layerConfig, modelConfig, type ModelConfig, type ModelOptions } from './config';
import { draftVocabulary, DraftUnembedding } from './draft-vocabulary';
import { familyOf } from './families';
import { modulesOf } from './mtp-layouts';
import type { Json } from './fields';

/** Initial weights and types of a new {@link MtpModel}. */
export interface ModelInit extends StoreOptions {
  /** Seed of the initial weights; without a seed they are zeros, for a checkpoint to fill. */
  seed?: number;
}

const MODEL_INIT: Schema<ModelInit> = { ...STORE_OPTIONS, seed: integer(0) };

/** A layer of the trunk. */
interface Layer {
  readonly block: Block;
  readonly isRecurrent: boolean;
  /** Its number among the layers of its kind. */
  readonly place: number;
}

/** Outputs of the trunk before its last layer, which belongs to head 1. */
export interface TrunkOutputs {
  /** `[rows, hiddenSize]`: the output of the last of these layers. */
  readonly z: Tensor;
  /** `[rows, layers · hiddenSize]`: outputs of the layers that the heads read, side by side; null if they read none. */
  readonly features: Tensor | null;
}

/** States of the trunk at some rows: `z` and `hidden` [rows, hiddenSize], and `features` if the heads read them. */
export type TrunkStates = Readonly<Record<'z' | 'hidden', Tensor> & Record<string, Tensor>>;

/**
 * Checks that this device can run a model in `dtype`. With `masters` the device must compute in `dtype`; without, any device can run
 * bfloat16, and int8 needs a device that multiplies in int8.
 * @throws INVALID_ARGUMENT for int8 with masters; UNSUPPORTED for a type that this device cannot run
 */
export function checkDtype(device: Device, init: ModelInit): void {
  check('model: device', device, deviceChecker);
  const { dtype = 'float32', masters = true } = checkOptions('model', init, MODEL_INIT);
  const fail = (code: 'INVALID_ARGUMENT' | 'UNSUPPORTED', problem: string): never => {
    throw new ForetokenError(code, `model: ${problem}`);
  };
  const here = `this device (${device.name})`;
  if (dtype === 'int8') {
    if (masters) fail('INVALID_ARGUMENT', 'dtype is int8, which cannot be trained and needs masters: false');
    if (!device.packs(dtype)) fail('UNSUPPORTED', `dtype is int8, but ${here} multiplies only floats`);
  } else if (masters && !device.computesIn(dtype)) {
    fail('UNSUPPORTED', `dtype is ${dtype}, but ${here} computes in float32 only`);
  }
}

/**
 * A language model that predicts several tokens at once: a trunk of one of several families, whose last layer and final norm are
 * head 1, and heads 2 … n of some kind. All heads share one unembedding.
 * @example
 * ```ts
 * import { MtpModel, openDevice } from 'foretoken';
 *
 * using device = openDevice('cpu');
 * const sizes = { vocabSize: 257, hiddenSize: 64, numHiddenLayers: 2, numAttentionHeads: 2 };
 * using model = new MtpModel(device, { ...sizes, mtp: { kind: 'rooted', numHeads: 4 } }, { seed: 1 });
 * console.log(model.parameters.size);
 * ```
 */
export class MtpModel implements Disposable {
  /** The configuration, with defaults filled in. */
  readonly config: ModelConfig;
  /** All weights, by checkpoint name. */
  readonly parameters: ParameterStore;
  /** Rotary positions of all layers. Reserve positions here before a forward pass on rows with them. */
  readonly tables: RopeTables;
  /** Heads 2 … n. */
  readonly heads: Heads;
  /** `[vocabSize, hiddenSize]`: the same parameter as the embedding when tied. */
  readonly unembedding: Parameter;
  /** generation_config.json of the files that the model was loaded from, which is saved again; null without. */
  generationConfig: Json | null = null;
  readonly #embedding: Parameter;
  readonly #embeddingScale: number;
  readonly #layers: Layer[] = [];
  /** Sizes of the recurrent layers, which are all alike; null without any. */
  readonly #recurrent: GatedDeltaConfig | null;
  readonly #norm: RMSNorm;
  #draftVocabulary: readonly number[] | null = null;
  #draftUnembedding: DraftUnembedding | null = null;

  constructor(
    /** The device of the weights. */
    readonly device: Device,
    options: ModelOptions,
    init: ModelInit = {},
    /** Called with all parameters before they are allocated; an error that it throws ends the construction. */
    inspect?: (parameters: readonly Parameter[]) => void,
  ) {
    const config = modelConfig(options);
    checkDtype(device, init);
    this.config = config;
    const store = (this.parameters = new ParameterStore(device, {
      dtype: init.dtype,
      masters: init.masters,
    }));
    const tables = (this.tables = new RopeTables(device, config.maxPositionEmbeddings));
    const shape = [config.vocabSize, config.hiddenSize];
    const std = config.initializerRange;
    this.#embedding = store.create([{ name: 'model.embed_tokens.weight', shape }], { std });
    this.#embeddingScale = familyOf(config).embeddingScale?.(config) ?? 1;
    let recurrent: GatedDeltaConfig | null = null;
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      const { block, rope } = layerConfig(config, layer);
      const isRecurrent = block.recurrent !== null;
      this.#layers.push({
        block: new Block(store, `model.layers.${layer}.`, block, rope && tables.for(rope)),
        isRecurrent,
        place: this.#layers.filter((other) => other.isRecurrent === isRecurrent).length,
      });
      recurrent ??= block.recurrent;
    }
    this.#recurrent = recurrent;
    this.#norm = new RMSNorm(store, 'model.norm', config.hiddenSize, config.rmsNormEps);
    this.unembedding = config.tieWordEmbeddings
      ? this.#embedding
      : store.create([{ name: 'lm_head.weight', shape }], { std });
    store.addWeight(this.unembedding);
    const { block, rope } = headLayerConfig(config);
    const heads = headKind(config.mtp.kind).create({
      store,
      config: block,
      table: tables.for(rope),
      numHeads: config.mtp.numHeads,
      numHiddenLayers: config.numHiddenLayers,
      modules: modulesOf(config),
      embed: (tokens) => this.embed(tokens),
    });
    this.heads = checkHeads(config.mtp.kind, heads, config.numHiddenLayers);
    inspect?.(store.parameters);
    this.#allocate(init.seed);
  }

  #allocate(seed: number | undefined): void {
    const { parameters } = this;
    try {
      parameters.allocate(seed);
    } catch (cause) {
      parameters.dispose();
      if (!(cause instanceof ForetokenError) || cause.code !== 'OUT_OF_MEMORY') throw cause;
      const sizes = (['vocabSize', 'hiddenSize', 'intermediateSize', 'numHiddenLayers'] as const).map(
        (name) => `${name} ${this.config[name]}`,
      );
      const what = `${parameters.size} parameters (${sizes.join(', ')}, ${this.numHeads} heads)`;
      throw new ForetokenError('OUT_OF_MEMORY', `model: ${what} do not fit: ${cause.message}`, { cause });
    }
  }

  /** Number of heads n, the next-token head included. */
  get numHeads(): number {
    return this.config.mtp.numHeads;
  }

  /** Type of activations. {@link ModelInit} chooses the type of stored weights. */
  get dtype(): ActivationDType {
    return this.parameters.dtype;
  }

  /** Embeds tokens: int32 [rows] → [rows, hiddenSize]. */
  embed(tokens: Tensor): Tensor {
    const rows = embedding(tokens, this.#embedding.operand, this.dtype);
    return this.#embeddingScale === 1 ? rows : scale(rows, this.#embeddingScale);
  }

  /** Runs the trunk up to its last layer: tokens int32 [rows] → what all heads share. */
  trunk(tokens: Tensor, rows: Rows): TrunkOutputs {
    return scope(() => {
      let z = this.embed(tokens);
      const outputs = this.#layers
        .slice(0, -1)
        .map(({ block, place }) => (z = block.forward(z, rows, place)));
      const read = featureLayers(this.heads).map((layer) => outputs[layer]!);
      return { z, features: read.length > 0 ? read.reduce((some, next) => concat(some, next)) : null };
    });
  }

  /** Runs head 1, the trunk's last layer and final norm: z [rows, hiddenSize] → hidden states for the unembedding. */
  nextTokenHidden(z: Tensor, rows: Rows): Tensor {
    return scope(() => {
      const { block, place } = this.#layers.at(-1)!;
      const hidden = this.#norm.forward(block.forward(z, rows, place));
      const { logitsScaling } = this.config;
      return logitsScaling === 1 ? hidden : scale(hidden, 1 / logitsScaling);
    });
  }

  /** Runs the trunk and head 1: tokens int32 [rows] → all states that heads 2 … n may read. */
  states(tokens: Tensor, rows: Rows): TrunkStates {
    const { z, features } = this.trunk(tokens, rows);
    return { z, hidden: this.nextTokenHidden(z, rows), ...(features && { features }) };
  }

  /**
   * Makes an empty cache for decoding with the trunk.
   * @param capacity the most positions of a sequence, the nodes of a tree included
   * @param sequences number of sequences that are decoded side by side
   * @throws ForetokenError as {@link ModelCache} does
   */
  createCache(capacity: number, sequences = 1): ModelCache {
    const { numKeyValueHeads: kvHeads, headDim } = this.config;
    const ofKind = (isRecurrent: boolean): number =>
      this.#layers.filter((layer) => layer.isRecurrent === isRecurrent).length;
    return new ModelCache(this.device, {
      ...{ layers: ofKind(false), kvHeads, headDim, capacity, sequences, dtype: this.dtype },
      recurrent: this.#recurrent && { ...this.#recurrent, layers: ofKind(true) },
    });
  }

  /** Chooses the form of the unembedding for hidden states [rows, hiddenSize]. */
  unembeddingFor(hidden: Tensor): Tensor {
    return weightFor(hidden, this.unembedding);
  }

  /**
   * The tokens that heads 2 … n propose in decoding, rising; null for all. With fewer tokens a draft costs less, and drafts of other
   * tokens are lost. The output stays the same. Saved with the model. May be set to tokens in any order, between texts.
   */
  get draftVocabulary(): readonly number[] | null {
    return this.#draftVocabulary;
  }

  /** Takes a copy of the tokens. */
  set draftVocabulary(tokens: readonly number[] | Int32Array | null) {
    const checked = check('draftVocabulary', tokens, nullable(draftVocabulary(this.config.vocabSize)));
    this.#draftVocabulary = checked && Array.from(checked).sort((a, b) => a - b);
    // Steps that were captured read the old one.
    this.parameters.version += 1;
  }

  /** Number of tokens that heads 2 … n choose from. */
  get draftVocabSize(): number {
    return this.#draftVocabulary?.length ?? this.config.vocabSize;
  }

  /**
   * The unembedding of {@link draftVocabulary}; null if that is all tokens. It is made when it is first needed after a change.
   * @internal
   */
  draftUnembedding(): DraftUnembedding | null {
    const before = this.#draftUnembedding;
    if (before && this.#draftVocabulary && before.version === this.parameters.version) return before;
    before?.dispose();
    this.#draftUnembedding =
      this.#draftVocabulary && new DraftUnembedding(this.parameters, this.unembedding, this.#draftVocabulary);
    return this.#draftUnembedding;
  }

  /** Frees the weights, their gradients and the tables of positions. */
  dispose(): void {
    this.#draftUnembedding?.dispose();
    this.#draftUnembedding = null;
    this.parameters.dispose();
    this.tables.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
