import { ForetokenError } from '../lib/errors';

describe('ForetokenError', () => {
  it('is an Error with a code, a message and a cause', () => {
    const cause = new Error('below');
    const error = new ForetokenError('CORRUPT_FILE', 'model.safetensors: truncated', { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'ForetokenError', code: 'CORRUPT_FILE', cause });
    expect(String(error)).toBe('ForetokenError: model.safetensors: truncated');
  });

  it('has a stack that begins where it was constructed', () => {
    expect(new ForetokenError('INTERNAL', 'x').stack).toContain('errors.test');
  });
});
