/**
 * A small seeded generator (sfc32, Chris Doty-Humphrey's PractRand), with the same numbers on every platform. `stream` names the
 * consumer of the numbers, so that the numbers of one consumer do not depend on how many another takes.
 */
export class Random {
  readonly #state: Uint32Array;

  constructor(seed: number, stream = '') {
    // Hashes seed and stream (FNV-1a) to the state, and discards the first outputs, which mixes it.
    let hash = 0x811c9dc5;
    for (const byte of Buffer.from(`${seed}/${stream}`)) hash = Math.imul(hash ^ byte, 0x01000193);
    this.#state = Uint32Array.of(hash, seed, Math.imul(hash, 0x9e3779b9), 1);
    for (let i = 0; i < 12; i++) this.bits();
  }

  /** Draws 32 random bits. */
  bits(): number {
    const s = this.#state;
    const out = (s[0]! + s[1]! + s[3]!) >>> 0;
    s[3]! += 1;
    s[0] = s[1]! ^ (s[1]! >>> 9);
    s[1] = s[2]! + (s[2]! << 3);
    s[2] = ((s[2]! << 21) | (s[2]! >>> 11)) + out;
    return out;
  }

  /** Draws uniformly from [0, 1). */
  uniform(): number {
    return this.bits() / 0x100000000;
  }

  /** Draws from the standard normal distribution (Box and Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}
