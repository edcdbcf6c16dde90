/** Where text is shown: a terminal or anything else that takes it. */
export interface TextStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Whether lines can be drawn again in place: on a terminal that moves its cursor. */
export function redrawsLines({ isTTY }: TextStream): boolean {
  return isTTY === true && process.env.TERM !== 'dumb';
}

/** Whether text may be coloured: on such a terminal, unless its user wants none (https://no-color.org). */
export function showsColours(stream: TextStream): boolean {
  return redrawsLines(stream) && !process.env.NO_COLOR;
}
