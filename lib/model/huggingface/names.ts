import type { WeightSource } from '../weight-source';

const EMBEDDING = 'embed_tokens.weight';
const UNEMBEDDING = 'lm_head.weight';
/** Ending of tensors that no model needs: rotary frequencies follow from the config. */
const IGNORED = '.rotary_emb.inv_freq';

/**
 * Gives tensors the names that causal language models have in transformers: the trunk begins with `model.`. Wrappers leave prefixes
 * (`_orig_mod.`, `module.`, `base_model.model.`), multimodal models have others (`model.language_model.`), and models without a
 * head none.
 * @param isPart whether the weights are those of a multimodal model; tensors outside its text model are left out
 * @param modules prefix of modules for further tokens, which lie beside the text model
 */
export function withUsualNames(source: WeightSource, isPart: boolean, modules: string): WeightSource {
  const names = source.names.filter((name) => !name.endsWith(IGNORED));
  const prefix = prefixOf(names.filter((name) => !name.startsWith(modules)));
  const places = new Map<string, string>();
  for (const name of names) {
    const usual = name.startsWith(modules) ? name : usualName(name, prefix, isPart);
    // A clash is told as a surplus tensor under the name that the file has.
    if (usual !== null) places.set(places.has(usual) ? name : usual, name);
  }
  return withNames(source, places);
}

/** Gives tensors other names, and leaves out those that have none. */
export function withNames(source: WeightSource, places: ReadonlyMap<string, string>): WeightSource {
  const placeOf = (name: string): string => places.get(name) ?? name;
  return {
    path: source.path,
    names: [...places.keys()],
    normsHoldOnePlus: source.normsHoldOnePlus,
    has: (name) => places.has(name),
    info: (name) => source.info(placeOf(name)),
    read: (name) => source.read(placeOf(name)),
    rows: (name) => source.rows(placeOf(name)),
    close: () => source.close(),
  };
}

/** Finds what comes before `embed_tokens.weight`; the shortest, because modules of heads in a wrapper may have a copy. */
function prefixOf(names: readonly string[]): string {
  const found = names
    .filter((name) => name === EMBEDDING || name.endsWith(`.${EMBEDDING}`))
    .sort((a, b) => a.length - b.length);
  return found[0]?.slice(0, -EMBEDDING.length) ?? 'model.';
}

function usualName(name: string, prefix: string, isPart: boolean): string | null {
  if (name === UNEMBEDDING || name.endsWith(`.${UNEMBEDDING}`)) return UNEMBEDDING;
  if (prefix === '') return /^(embed_tokens|layers|norm)\./.test(name) ? `model.${name}` : name;
  if (name.startsWith(prefix)) return `model.${name.slice(prefix.length)}`;
  if (isPart) return null;
  // Heads lie beside the trunk in the same wrapper.
  const wrapper = prefix.replace(/model\.$/, '');
  return wrapper !== '' && name.startsWith(wrapper) ? name.slice(wrapper.length) : name;
}
