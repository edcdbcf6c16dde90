/** The one of `names` that somebody who wrote `name` most likely meant, or undefined where none is close. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const allowed = Math.ceil(name.length / 3);
  const [best] = names
    .map((one) => ({ one, distance: editDistance(name, one) }))
    .filter(({ distance }) => distance <= allowed)
    .sort((a, b) => a.distance - b.distance);
  return best?.one;
}

/** How many characters must be put in, left out or replaced to make `a` of `b` (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, above[j]! + 1, row[j - 1]! + 1));
    }
    above = row;
  }
  return above[b.length]!;
}
