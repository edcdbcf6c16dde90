import { createRequire } from 'node:module';
import type { Value } from './values';

/** A node of a parsed template: a statement or an expression. */
export interface Node {
  readonly type: string;
}

export interface Program extends Node {
  readonly body: readonly Node[];
}

/** The names that a template sees. */
export interface Environment {
  /** Declares a name and returns its value in the form of the interpreter. */
  set(name: string, value: unknown): Value;
}

interface Interpreter {
  run(program: Program): Value;
  /** Evaluates a node; calls itself for the parts of the node. */
  evaluate(node: Node | undefined, environment: Environment): Value;
}

/** The used part of `@huggingface/jinja`. */
interface Library {
  readonly Environment: new () => Environment;
  readonly Interpreter: new (environment: Environment) => Interpreter;
  readonly tokenize: (source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown;
  readonly parse: (tokens: unknown) => Program;
}

// The package has a CommonJS build, but declares its types for ES modules only, so a plain import does not compile.
export const { Environment, Interpreter, tokenize, parse } = createRequire(__filename)(
  '@huggingface/jinja',
) as Library;
