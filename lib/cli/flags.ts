interface ValueOf {
  string: string;
  /** May be given several times. */
  strings: string[];
  integer: number;
  /** An integer of any size. */
  bigint: bigint;
  number: number;
  boolean: boolean;
}

type FlagType = keyof ValueOf;

/** An option of the command line. */
export interface Flag {
  readonly type: FlagType;
  readonly short?: string;
  /** Placeholder for the value in the help. Default: one for the type. */
  readonly value?: string;
  /** One line, which ends with the default if the flag has one. */
  readonly help: string;
  /** Name of the library's option that the flag sets, unless it is the flag's own name in camelCase. */
  readonly option?: string;
}

export type Flags = Readonly<Record<string, Flag>>;

export type Values<F extends Flags> = { readonly [Name in keyof F]?: ValueOf[F[Name]['type']] };

type More = Pick<Flag, 'short' | 'option'>;
type FlagOf<T extends FlagType> = Flag & { readonly type: T };

export const string = (value: string, help: string, more: More = {}): FlagOf<'string'> => {
  return { type: 'string', value, help, ...more };
};
export const strings = (value: string, help: string, more: More = {}): FlagOf<'strings'> => {
  return { type: 'strings', value, help, ...more };
};
export const integer = (help: string, more: More = {}): FlagOf<'integer'> => {
  return { type: 'integer', help, ...more };
};
export const bigint = (help: string): FlagOf<'bigint'> => ({ type: 'bigint', help });
export const number = (help: string, more: More = {}): FlagOf<'number'> => {
  return { type: 'number', help, ...more };
};
export const boolean = (help: string, more: More = {}): FlagOf<'boolean'> => {
  return { type: 'boolean', help, ...more };
};

const PLACEHOLDERS: Readonly<Record<FlagType, string>> = {
  string: 'VALUE',
  strings: 'VALUE',
  integer: 'N',
  bigint: 'N',
  number: 'X',
  boolean: '',
};

/** The placeholder for a flag's value in the help; '' for a flag that takes none. */
export function placeholderOf({ type, value }: Flag): string {
  return value ?? PLACEHOLDERS[type];
}

export const DEVICE_FLAGS = {
  device: string('NAME', 'auto, cpu, cuda, cuda:N or cuda-emulated (default auto)', { option: 'name' }),
  threads: integer('CPU threads (default: one for each processor)'),
  dtype: string(
    'TYPE',
    'float32, bfloat16 or int8; the CPU trains in float32 only, no device trains in int8 (default float32)',
  ),
} satisfies Flags;

export const JSON_FLAG = {
  json: boolean('print JSON to standard output, for programs'),
} satisfies Flags;
