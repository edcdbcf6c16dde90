import { readFileSync } from 'node:fs';
import path from 'node:path';

const readme = readFileSync(path.join(__dirname, '../../README.md'), 'utf8');

/** The code blocks of README.md in one language. */
export function readmeBlocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(
    ([, code]) => code!,
  );
}

/** The commands of foretoken that README.md shows, each as its words: the name of a command first. */
export function readmeCommands(): string[][] {
  const shown = readmeBlocks('sh').flatMap(
    (block) => block.match(/(?<=^node dist\/cli\/main\.js ).*/gm) ?? [],
  );
  return shown.map(wordsOf);
}

/** The words of a line of shell. */
export function wordsOf(line: string): string[] {
  const words = line.replace(/ #.*/, '').matchAll(/'([^']*)'|(\S+)/g);
  return [...words].map(([, quoted, bare]) => (quoted ?? bare)!);
}
