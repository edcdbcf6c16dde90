import { Environment, Interpreter, parse, tokenize, type Node, type Program } from './library';
import { formatDate, stripText } from './strings';
import { areEqual, asText, contains, describe, isList, isNumeric, type Value } from './values';

/** The fields of a node, by its type. */
interface Fields extends Node {
  readonly value?: unknown;
  readonly operator?: { readonly value: string };
  readonly left?: Node;
  readonly right?: Node;
  readonly callee?: Node;
  readonly object?: Node;
  readonly property?: Node;
  readonly computed?: boolean;
  readonly args?: readonly Node[];
  readonly operand?: Node;
  readonly filter?: Node;
}

const fieldsOf = (node: Node): Fields => node;

/** Thrown by `raise_exception` of a template. */
export class RaisedByTemplate extends Error {}

/** A compiled Jinja template. */
export class Jinja {
  readonly #program: Program;
  /** Expressions whose values are written to the output. */
  readonly #written = new WeakSet<Node>();

  /** @throws Error saying what is wrong with the template */
  constructor(source: string) {
    // Settings of transformers, which chat templates are written for.
    this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    this.#collect(this.#program);
  }

  /** @throws RaisedByTemplate; Error if the template cannot be rendered with these variables */
  render(variables: Readonly<Record<string, unknown>>): string {
    const environment = new Environment();
    const globals: Record<string, unknown> = {
      ...{ true: true, false: false, none: null, True: true, False: false, None: null },
      range,
      raise_exception: (message: unknown) => {
        throw new RaisedByTemplate(String(message));
      },
      strftime_now: (format: string) => formatDate(new Date(), format),
      ...variables,
    };
    for (const [name, value] of Object.entries(globals)) environment.set(name, value);
    return String(new PythonInterpreter(environment, this.#written).run(this.#program).value);
  }

  /** Collects the expressions that stand in bodies of the template, which are all lists of nodes except arguments. */
  #collect(node: unknown): void {
    if (typeof node !== 'object' || node === null) return;
    for (const [key, child] of Object.entries(node)) {
      if (Array.isArray(child)) {
        const isBody = key === 'body' || key === 'alternate' || key === 'defaultBlock';
        for (const each of child as Node[]) {
          if (isBody && !STATEMENTS.has(each.type)) this.#written.add(each);
          this.#collect(each);
        }
      } else {
        this.#collect(child);
      }
    }
  }
}

const STATEMENTS = new Set([
  ...['Set', 'If', 'For', 'Macro', 'CallStatement', 'FilterStatement', 'Break', 'Continue', 'Comment'],
]);

const STRIPS = new Map<unknown, { left: boolean; right: boolean }>([
  ['strip', { left: true, right: true }],
  ['lstrip', { left: true, right: false }],
  ['rstrip', { left: false, right: true }],
]);

/**
 * Evaluates where `@huggingface/jinja` 0.5 differs from Python on valid templates: comparison by value, the argument of `strip`,
 * order of texts, filters that it lacks, and how values are written.
 */
class PythonInterpreter extends Interpreter {
  constructor(
    environment: Environment,
    private readonly written: WeakSet<Node>,
  ) {
    super(environment);
  }

  override evaluate(node: Node | undefined, environment: Environment): Value {
    const value = (node && this.#python(node, environment)) ?? super.evaluate(node, environment);
    return node && this.written.has(node) ? runtime(asText(value)) : value;
  }

  /** Returns the value of a node that the package would evaluate differently; undefined for any other. */
  #python(node: Fields, environment: Environment): Value | undefined {
    if (node.type === 'BinaryExpression') return this.#binary(node, environment);
    if (node.type === 'CallExpression') return this.#method(node, environment);
    return node.type === 'FilterExpression' ? this.#filter(node, environment) : undefined;
  }

  #binary({ operator, left, right }: Fields, environment: Environment): Value | undefined {
    const compare = OPERATORS[operator!.value];
    if (!compare) return undefined;
    const result = compare(this.evaluate(left, environment), this.evaluate(right, environment));
    return runtime(result);
  }

  /** Calls the methods that strip a text. */
  #method({ callee, args }: Fields, environment: Environment): Value | undefined {
    const { type, object, property, computed } = fieldsOf(callee!);
    if (type !== 'MemberExpression' || computed) return undefined;
    const sides = STRIPS.get(fieldsOf(property!).value);
    if (!sides) return undefined;
    const text = this.evaluate(object, environment);
    if (text.type !== 'StringValue') return undefined;
    const characters = args?.[0] && this.evaluate(args[0], environment);
    return runtime(stripText(text.value as string, textOrNull(characters), sides));
  }

  #filter({ operand, filter }: Fields, environment: Environment): Value | undefined {
    const { type, value, callee, args = [] } = fieldsOf(filter!);
    const name = String(type === 'Identifier' ? value : fieldsOf(callee!).value);
    // Keyword arguments are left to the package.
    const hasKeywords = args.some((each) => each.type === 'KeywordArgumentExpression');
    if (hasKeywords || !Object.hasOwn(FILTERS, name)) return undefined;
    return FILTERS[name]!(this.evaluate(operand, environment), () =>
      args.map((each) => this.evaluate(each, environment)),
    );
  }
}

type Order = (left: number | string, right: number | string) => boolean;

/** Compares numbers, or texts by their code points. */
const inOrder =
  (order: Order) =>
  (left: Value, right: Value): boolean => {
    if (isNumeric(left) && isNumeric(right)) return order(Number(left.value), Number(right.value));
    if (left.type === 'StringValue' && right.type === 'StringValue') {
      return order(left.value as string, right.value as string);
    }
    throw new Error(`cannot compare ${describe(left)} with ${describe(right)}`);
  };

const OPERATORS: Readonly<Record<string, (left: Value, right: Value) => unknown>> = {
  '==': areEqual,
  '!=': (left, right) => !areEqual(left, right),
  in: (left, right) => contains(right, left),
  'not in': (left, right) => !contains(right, left),
  '<': inOrder((left, right) => left < right),
  '>': inOrder((left, right) => left > right),
  '<=': inOrder((left, right) => left <= right),
  '>=': inOrder((left, right) => left >= right),
  '~': (left, right) => asText(left) + asText(right),
};

/** Filters that the package lacks or computes differently; undefined leaves a value to the package. */
const FILTERS: Readonly<Record<string, (operand: Value, args: () => Value[]) => Value | undefined>> = {
  trim: (operand, args) => runtime(stripText(asText(operand), textOrNull(args()[0]))),
  capitalize: (operand) => {
    const [first = '', ...rest] = Array.from(asText(operand));
    return runtime(first.toUpperCase() + rest.join('').toLowerCase());
  },
  string: (operand) => runtime(asText(operand)),
  count: (operand) => (isList(operand) ? runtime(operand.value.length) : undefined),
  join: (operand, args) =>
    isList(operand)
      ? runtime(operand.value.map(asText).join(args()[0] ? asText(args()[0]!) : ''))
      : undefined,
  default: (operand, args) => (operand.type === 'UndefinedValue' ? (args()[0] ?? runtime('')) : undefined),
};

function textOrNull(value: Value | undefined): string | null {
  return value?.type === 'StringValue' ? (value.value as string) : null;
}

/** Makes the package's form of a value of JavaScript. */
function runtime(value: unknown): Value {
  return new Environment().set('value', value);
}

function range(first: number, second?: number, step = 1): number[] {
  if (step === 0) throw new Error('range: the step must not be 0');
  const [start, end] = second === undefined ? [0, first] : [first, second];
  return Array.from({ length: Math.max(0, Math.ceil((end - start) / step)) }, (_, i) => start + i * step);
}
