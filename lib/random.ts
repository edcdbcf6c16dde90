/**
 * A small seeded generator (sfc32, Chris Doty-Humphrey's PractRand): the same numbers on every platform. `stream` names
 * what the numbers are for, so that one consumer taking more of them changes nothing for the others.
 */
export class Random {
  readonly #state: Uint32Array;

  constructor(seed: number, stream = '') {
    // The state is hashed from seed and stream (FNV-1a); the first outputs are thrown away to mix it.
    let hash = 0x811c9dc5;
    for (const byte of Buffer.from(`${seed}/${stream}`)) hash = Math.imul(hash ^ byte, 0x01000193);
    this.#state = Uint32Array.of(hash, seed, Math.imul(hash, 0x9e3779b9), 1);
    for (let i = 0; i < 12; i++) this.bits();
  }

  /** 32 random bits. */
  bits(): number {
    const s = this.#state;
    const out = (s[0]! + s[1]! + s[3]!) >>> 0;
    s[3]! += 1;
    s[0] = s[1]! ^ (s[1]! >>> 9);
    s[1] = s[2]! + (s[2]! << 3);
    s[2] = ((s[2]! << 21) | (s[2]! >>> 11)) + out;
    return out;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.bits() / 0x100000000;
  }

  /** Standard normal, by Box and Muller. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}
