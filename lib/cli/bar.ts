/** A line of a terminal beside whose text a bar is drawn. */
export interface BarLine {
  /** The text, and shorter versions for narrower terminals. */
  readonly texts: readonly string[];
  /** The filled part of the bar, from 0 to 1. */
  readonly share: number;
}

const BAR_WIDTH = 24;
/** A long text shortens the bar down to this width. */
const LEAST_BAR_WIDTH = 10;

/** Returns the number of characters that fit on a line of a terminal. */
export function roomOf({ columns = 80 }: { readonly columns?: number }): number {
  return (columns > 0 ? columns : 80) - 1;
}

/**
 * Draws a bar and as much text as fits beside it; without room for a bar, only the shortest text, truncated.
 * @param room characters that fit
 */
export function drawBar({ texts, share }: BarLine, room: number): string {
  const text = texts.find(({ length }) => LEAST_BAR_WIDTH + length + '[] '.length <= room);
  if (text === undefined) return texts.at(-1)!.slice(0, room);
  const width = Math.min(BAR_WIDTH, room - text.length - '[] '.length);
  const filled = Math.round(width * Math.min(1, share));
  return `[${'='.repeat(filled)}${' '.repeat(width - filled)}] ${text}`;
}

/** Formats a time with its two largest units. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const [days, hours, minutes] = [86_400, 3600, 60].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (days > 0) return `${days}d ${hours % 24}h`;
  if (hours > 0) return `${hours}h ${minutes % 60}m`;
  return minutes > 0 ? `${minutes}m ${seconds % 60}s` : `${seconds}s`;
}
