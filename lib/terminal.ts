/** A stream of text, as a terminal. */
export interface TextStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Whether lines can be redrawn in place: only on a terminal that can move its cursor. */
export function redrawsLines({ isTTY }: TextStream): boolean {
  return isTTY === true && process.env.TERM !== 'dumb';
}

/** Whether text may be coloured: on such a terminal, unless its user does not want colours (https://no-color.org). */
export function showsColours(stream: TextStream): boolean {
  return redrawsLines(stream) && !process.env.NO_COLOR;
}
