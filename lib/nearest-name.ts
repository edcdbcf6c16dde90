/** Other programs' names, in small letters without separators, of options and flags; a function takes the first that it has. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  accumulatesteps: ['accumulation'],
  betas: ['beta1'],
  blocksize: ['sequenceLength', 'maxPositionEmbeddings'],
  cachedir: ['cacheDirectory'],
  clipgradnorm: ['maxGradNorm'],
  contextlength: ['sequenceLength', 'maxPositionEmbeddings'],
  dmodel: ['hiddenSize'],
  dosample: ['temperature'],
  epochs: ['steps'],
  evalsteps: ['evalEvery'],
  files: ['patterns'],
  gradclip: ['maxGradNorm'],
  gradientaccumulationsteps: ['accumulation'],
  iterations: ['steps'],
  lr: ['lr', 'learningRate', 'peak'],
  maxgradnorm: ['maxGradNorm', 'optimizer'],
  maxlength: ['maxTokens', 'sequenceLength'],
  maxnewtokens: ['maxTokens'],
  maxnorm: ['maxGradNorm'],
  maxsteps: ['steps'],
  minlearningrate: ['minimumRatio'],
  ndim: ['hiddenSize'],
  nembd: ['hiddenSize'],
  nhead: ['numAttentionHeads', 'heads'],
  nlayer: ['numHiddenLayers', 'layers'],
  npredict: ['maxTokens'],
  numepochs: ['steps'],
  numheads: ['numAttentionHeads', 'heads', 'mtp'],
  numlayers: ['numHiddenLayers', 'layers'],
  numpredict: ['maxTokens'],
  numthreads: ['threads'],
  numtrainepochs: ['steps'],
  outdir: ['output'],
  outputdir: ['output'],
  perdevicetrainbatchsize: ['batchSize'],
  precision: ['dtype'],
  repeatpenalty: ['repetitionPenalty'],
  resumefromcheckpoint: ['resume'],
  savesteps: ['saveEvery'],
  savetotallimit: ['keepCheckpoints'],
  seqlen: ['sequenceLength'],
  stopsequences: ['stop'],
  stopstrings: ['stop'],
  torchdtype: ['dtype'],
  trainsteps: ['steps'],
  warmup: ['warmupSteps', 'learningRate'],
  warmupsteps: ['warmupSteps', 'learningRate'],
  wd: ['weightDecay'],
  weightdecay: ['weightDecay', 'optimizer'],
};

/** Folds the spellings of a name of several words, maxTokens, max_tokens and max-tokens, to one. */
const fold = (name: string): string => name.replace(/[-_\s]/g, '').toLowerCase();

/**
 * Finds the known name that `given` most likely means: another spelling, an alias, or a name with few typing errors. Undefined if no
 * name is near.
 */
export function nearestName(given: string, known: readonly string[]): string | undefined {
  const wanted = fold(given);
  const find = (folded: string): string | undefined => known.find((name) => fold(name) === folded);
  const spelled = find(wanted);
  if (spelled !== undefined) return spelled;
  const aliases = Object.hasOwn(ALIASES, wanted) ? ALIASES[wanted]! : [];
  const meant = aliases.map((alias) => find(fold(alias))).find((name) => name !== undefined);
  if (meant !== undefined || wanted.length > 64) return meant;
  // At most one typing error in three letters; with more, another word is as likely.
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  let nearest: string | undefined;
  for (const name of known) {
    const distance = slips(wanted, fold(name));
    if (distance >= least) continue;
    least = distance;
    nearest = name;
  }
  return nearest ?? (wanted.length < 3 ? undefined : known.find((name) => fold(name).startsWith(wanted)));
}

/** Counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (Damerau 1964). */
function slips(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const exchanged = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(exchanged, rows[i - 1]![j]! + 1, row[j - 1]! + 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
