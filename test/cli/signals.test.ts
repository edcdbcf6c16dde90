import { interruptible } from '../../lib/cli/signals';

/** Thrown instead of ending the process. */
class Exited extends Error {
  constructor(readonly code: unknown) {
    super();
  }
}

it('treats signals in quick succession as one, and ends the process on a later Ctrl-C', async () => {
  const now = jest.spyOn(performance, 'now').mockReturnValue(1000);
  const exit = jest.spyOn(process, 'exit').mockImplementation((code) => {
    throw new Exited(code);
  });
  const emit = (name: 'SIGINT' | 'SIGTERM'): unknown => process.emit(name, name);
  try {
    const code = await interruptible(async (signal) => {
      expect(signal.aborted).toBe(false);
      emit('SIGTERM');
      expect(signal.aborted).toBe(true);
      now.mockReturnValue(1900);
      emit('SIGTERM');
      expect(exit).not.toHaveBeenCalled();
      now.mockReturnValue(2100);
      expect(() => emit('SIGINT')).toThrow(Exited);
      expect(exit).toHaveBeenLastCalledWith(130);
    });
    expect(code).toBe(143);
  } finally {
    now.mockRestore();
    exit.mockRestore();
  }
});

afterEach(() => {
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.removeAllListeners(name);
});

it('still answers a Ctrl-C while the interrupted process ends', async () => {
  const now = jest.spyOn(performance, 'now').mockReturnValue(1000);
  const exit = jest.spyOn(process, 'exit').mockImplementation((code) => {
    throw new Exited(code);
  });
  try {
    const work = async (): Promise<void> => void process.emit('SIGINT', 'SIGINT');
    expect(await interruptible(work, () => 'stopped at once')).toBe(130);
    process.emit('SIGINT', 'SIGINT');
    expect(exit).not.toHaveBeenCalled();
    now.mockReturnValue(2100);
    const said = jest.spyOn(console, 'error').mockImplementation();
    expect(() => process.emit('SIGINT', 'SIGINT')).toThrow(Exited);
    expect(said).toHaveBeenCalledWith('stopped at once');
    said.mockRestore();
    expect(exit).toHaveBeenLastCalledWith(130);
  } finally {
    now.mockRestore();
    exit.mockRestore();
  }
});

it('leaves no listeners behind unless interrupted', async () => {
  const before = process.listenerCount('SIGINT');
  expect(await interruptible(async () => undefined)).toBe(0);
  expect(process.listenerCount('SIGINT')).toBe(before);
});

it('accepts the reason of the signal as the end of the work, and rethrows every other error', async () => {
  const interrupted = async (signal: AbortSignal): Promise<void> => {
    process.emit('SIGINT', 'SIGINT');
    signal.throwIfAborted();
  };
  expect(await interruptible(interrupted)).toBe(130);
  const mistake = new Error('mistake');
  const broken = async (): Promise<void> => {
    throw mistake;
  };
  await expect(interruptible(broken)).rejects.toBe(mistake);
});
