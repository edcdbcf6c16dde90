import { number, show, type Checker } from '../../check';
import { ROPE_SCALINGS, type RopeScaling } from '../../nn/rope-frequencies';
import type { ModelConfig, SpecificOption } from '../config';
import { snakeCased, type Fields, type Json } from '../fields';

/** The options that describe rotary angles. */
export type RopeConfig = Partial<
  Pick<ModelConfig, 'ropeTheta' | 'ropeScaling' | 'ropeLocalBaseFreq' | 'partialRotaryFactor'>
>;

const POSITIVE = number(Number.MIN_VALUE);
const FACTOR = number(Number.MIN_VALUE, 1);
const LAYER_TYPES = ['full_attention', 'sliding_attention'];

/**
 * Reads rotary angles: `rope_theta` and `rope_scaling` of transformers 4, and `rope_parameters` of transformers 5, which has both and
 * may be nested by layer type.
 * @param allowed the kinds of scaling that the family has
 * @param harmless keys of such objects that change nothing in a text
 */
export function readRope(
  fields: Fields,
  allowed: readonly string[] = Object.keys(ROPE_SCALINGS),
  harmless: readonly string[] = [],
): RopeConfig {
  // Defaults of the family count only if no spelling has a value.
  const given = (name: string, by: Checker<number>): number | undefined =>
    fields.has(name) ? fields.check(name, by) : undefined;
  const found: RopeConfig = {
    ropeTheta: given('rope_theta', POSITIVE),
    ropeLocalBaseFreq: given('rope_local_base_freq', POSITIVE),
    partialRotaryFactor: given('partial_rotary_factor', FACTOR),
  };
  const slidings: [Fields, RopeConfig][] = [];
  for (const name of ['rope_parameters', 'rope_scaling']) {
    const rope = fields.object(name);
    if (!rope) continue;
    const nested = LAYER_TYPES.map((type) => (rope.has(type) ? rope.object(type) : undefined));
    const [full, sliding] = nested;
    if (!full && !sliding) merge(rope, found, readOne(rope, allowed, harmless));
    if (full) merge(full, found, readOne(full, allowed, harmless));
    if (sliding) slidings.push([sliding, readOne(sliding, allowed, harmless)]);
    rope.refuseOthers(harmless);
  }
  found.ropeTheta ??= fields.check('rope_theta', POSITIVE);
  found.partialRotaryFactor ??= fields.check('partial_rotary_factor', FACTOR);
  const usualBase = fields.check('rope_local_base_freq', POSITIVE);
  for (const [rope, sliding] of slidings) mergeSliding(rope, found, sliding, usualBase);
  if (found.ropeLocalBaseFreq === undefined) found.ropeLocalBaseFreq = usualBase;
  return found;
}

/** Reads one description of angles. */
function readOne(rope: Fields, allowed: readonly string[], harmless: readonly string[]): RopeConfig {
  const names = ['rope_type', 'type'].map((tag) => [tag, rope.take(tag)] as const);
  const [tag, type] = names.find(([, value]) => value !== undefined) ?? ['rope_type', 'default'];
  for (const [other, value] of names) {
    if (value !== undefined && value !== type)
      rope.fail(other, `is ${show(value)}, but ${tag} is ${show(type)}`);
  }
  const options: RopeConfig = {
    ropeTheta: rope.check('rope_theta', POSITIVE),
    partialRotaryFactor: rope.check('partial_rotary_factor', FACTOR),
  };
  if (type !== 'default') {
    if (!allowed.includes(type as string)) {
      rope.fail(tag, `must be one of ${['default', ...allowed].join(', ')}, but is ${show(type)}`);
    }
    const ropeType = type as RopeScaling['ropeType'];
    const scaling: Record<string, unknown> = { ropeType };
    for (const [option, by] of Object.entries<Checker<unknown> & { isRequired?: true }>(
      ROPE_SCALINGS[ropeType],
    )) {
      const name = snakeCased(option);
      const value = by.isRequired ? rope.required(name, by) : rope.check(name, by);
      if (value !== undefined) scaling[option] = value;
    }
    options.ropeScaling = scaling as RopeScaling;
  }
  rope.refuseOthers(harmless);
  return options;
}

/** Adds what one description says; two may not contradict each other. */
function merge(rope: Fields, found: RopeConfig, more: RopeConfig): void {
  for (const [option, value] of Object.entries(more)) {
    if (value === undefined) continue;
    const before = found[option as keyof RopeConfig] ?? undefined;
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(value)) {
      const name = option === 'ropeScaling' ? 'rope_type' : snakeCased(option);
      rope.fail(name, `is ${shown(value)}, but ${name} is ${shown(before)} elsewhere in the file`);
    }
    Object.assign(found, { [option]: value });
  }
}

function shown(value: RopeConfig[keyof RopeConfig]): string {
  return typeof value === 'object' && value !== null ? show(value.ropeType) : show(value);
}

/**
 * Adds the angles of layers with a window, which may have another base, but no scaling of their own.
 * @param usualBase the family's base of such layers
 */
function mergeSliding(
  rope: Fields,
  found: RopeConfig,
  sliding: RopeConfig,
  usualBase: number | undefined,
): void {
  const { ropeTheta: theta, ropeScaling: scaling, ...others } = sliding;
  merge(rope, found, others);
  const base = theta ?? found.ropeLocalBaseFreq ?? usualBase ?? found.ropeTheta;
  const isAlike =
    base === found.ropeTheta && JSON.stringify(scaling ?? null) === JSON.stringify(found.ropeScaling ?? null);
  if (scaling && !isAlike) rope.fail('rope_type', `must be "default", but is ${show(scaling.ropeType)}`);
  // Null, because the family's base would count for undefined.
  if (isAlike && !found.ropeLocalBaseFreq) found.ropeLocalBaseFreq = null;
  else merge(rope, found, { ropeLocalBaseFreq: base });
}

/**
 * Writes rotary angles as both versions of transformers read them.
 * @param options those that the family has, whose defaults would count if their keys were left out
 */
export function writeRope(
  { ropeTheta, ropeScaling, ropeLocalBaseFreq, partialRotaryFactor }: ModelConfig,
  options: readonly SpecificOption[],
): Json {
  // Angles of that base are not scaled, so there is none for the angles of the other layers if they are.
  const localBase = ropeLocalBaseFreq ?? (ropeScaling ? null : ropeTheta);
  const scaling =
    ropeScaling && Object.entries(ropeScaling).map(([name, value]) => [snakeCased(name), value as unknown]);
  return {
    rope_theta: ropeTheta,
    rope_scaling: scaling && (Object.fromEntries(scaling) as Json),
    ...(options.includes('ropeLocalBaseFreq') && { rope_local_base_freq: localBase }),
    ...(options.includes('partialRotaryFactor') && { partial_rotary_factor: partialRotaryFactor }),
  };
}
