// Comments, messages, names of tests and documents do without the words below: each has a plainer word, or hides who does
// what. Lists file, line, the word and what to write instead.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { repositoryFiles } from './repository-files';

/** Words to avoid, as a regular expression whose spaces may also be line breaks within a comment. */
interface Rule {
  words: string;
  instead: string;
}

const rules: readonly Rule[] = [
  { words: 'anew', instead: 'again' },
  {
    words: '(any|every|no|some)body',
    instead: 'the one that acts: the caller, a thread, the allocator, a user',
  },
  { words: 'but for', instead: 'except, apart from' },
  { words: "where there (is|are|isn't|aren't)", instead: 'if, with, without' },
  { words: '(bring|brings|bringing|brought) to', instead: 'convert to, copy to, move to' },
  { words: '(come|comes|coming|came) to', instead: 'reach, equal, cost, call' },
  { words: '(go|goes|going|went) with', instead: 'belong to, match' },
  { words: 'meets', instead: 'satisfies, encounters, is multiplied by' },
  { words: 'in turns', instead: 'alternately, in turn' },
  { words: '(tell|tells|telling|told) of', instead: 'report, say' },
  { words: '(become|becomes|became) of', instead: 'happens to, result' },
  { words: '(no such|such a) thing', instead: 'the noun itself, none' },
  { words: 'as ever', instead: 'as before, as always' },
  { words: 'own accord', instead: 'by itself, unasked' },
  { words: '(come|comes|came) of', instead: 'result from, happen' },
  { words: '(hand|hands|handed) on', instead: 'pass on' },
  { words: 'whoever', instead: 'the one that acts: the caller, the code that …' },
  { words: '(can|could|cannot|to) be had', instead: 'is available' },
  { words: '(let|lets|letting) go', instead: 'release, free' },
];

// A noun fragment such as “What a row has” where a comment should begin with a verb or with the thing itself.
const fragment = /(?:\/\/|\/\*\*?|^[ \t]*[*#])[ \t]+What\b(?![^\n]*\?)/gm;

/** A rule as a regular expression. */
function patternOf({ words }: Rule): RegExp {
  const gap = String.raw`(?:[ \t]+|[ \t]*\n[ \t]*(?:\/\/|\*|#)?[ \t]*)`;
  return new RegExp(String.raw`\b${words.replaceAll(' ', gap)}\b`, 'gi');
}

export interface Finding {
  line: number;
  words: string;
  instead: string;
}

/** The words to avoid in the text of a file. Headings of Markdown may begin with “What”. */
export function findWords(file: string, text: string): Finding[] {
  const found = (pattern: RegExp, instead: string): Finding[] =>
    [...text.matchAll(pattern)].map(({ index, 0: match }) => ({
      line: text.slice(0, index).split('\n').length,
      words: match.replace(/\s+(?:\/\/|\*|#)?\s*/g, ' ').trim(),
      instead,
    }));
  const findings = rules.flatMap((rule) => found(patternOf(rule), rule.instead));
  if (!file.endsWith('.md'))
    findings.push(...found(fragment, 'a verb, or the thing itself, at the start of a comment'));
  return findings.sort((a, b) => a.line - b.line);
}

// The list itself, its test, and texts that are data.
const exempt = /^(scripts\/check-english\.ts|test\/tooling\/check-english\.test\.ts|test\/fixtures\/.*)$/;
const extensions = /\.(ts|mts|js|mjs|cc|h|cu|cuh|md|txt|py|sh)$/;

function main(root: string): boolean {
  let good = true;
  for (const file of repositoryFiles(root).filter((name) => extensions.test(name) && !exempt.test(name))) {
    for (const { line, words, instead } of findWords(file, readFileSync(path.join(root, file), 'utf8'))) {
      console.error(`${file}:${line}: “${words}”; write: ${instead}`);
      good = false;
    }
  }
  return good;
}

if (require.main === module) {
  if (!main(path.join(__dirname, '..'))) process.exit(1);
  console.log('English checked');
}
