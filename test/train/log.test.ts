import { mkdirSync, readFileSync } from 'node:fs';
import { TrainingLog } from '../../lib/train/log';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';

const directory = new TemporaryDirectory();
const content = (path: string) => readFileSync(path, 'utf8');

describe('the log', () => {
  it('has an object on each line as soon as it is written', async () => {
    const log = await TrainingLog.create(directory.at('run/log.jsonl'));
    log.write({ step: 1, loss: 2.5, heads: [1, 2] });
    expect(content(log.path)).toBe('{"step":1,"loss":2.5,"heads":[1,2]}\n');
    log.write({ step: 2, note: 'two\nlines' });
    expect(content(log.path).split('\n')).toHaveLength(3);
    await log.close();
  });

  it('keeps numbers that are not finite', async () => {
    const log = await TrainingLog.create(directory.at('log.jsonl'));
    log.write({ step: 1, loss: NaN, heads: [Infinity, -Infinity] });
    await log.close();
    expect(JSON.parse(content(log.path))).toEqual({ step: 1, loss: 'NaN', heads: ['Infinity', '-Infinity'] });
  });

  it('starts empty when it is created', async () => {
    const path = directory.write('log.jsonl', '{"step":1}\n');
    await (await TrainingLog.create(path)).close();
    expect(content(path)).toBe('');
  });

  it('drops entries after the step that a run is resumed from', async () => {
    const path = directory.write(
      'log.jsonl',
      '{"step":1}\n{"step":2}\n{"step":2,"eval":1}\n{"step":3}\n{"step":4}\n',
    );
    const log = await TrainingLog.resume(path, 2);
    log.write({ step: 3, again: true });
    await log.close();
    expect(content(path)).toBe('{"step":1}\n{"step":2}\n{"step":2,"eval":1}\n{"step":3,"again":true}\n');
  });

  it('drops an unfinished last line', async () => {
    for (const unfinished of ['{"step":2,"lo', '{"step":2}']) {
      const path = directory.write('log.jsonl', `{"step":1}\n${unfinished}`);
      await (await TrainingLog.resume(path, 9)).close();
      expect(content(path)).toBe('{"step":1}\n');
    }
  });

  it('starts empty when it is resumed without a file', async () => {
    const log = await TrainingLog.resume(directory.at('run/log.jsonl'), 5);
    log.write({ step: 6 });
    await log.close();
    expect(content(log.path)).toBe('{"step":6}\n');
  });

  it('is refused and unchanged if a line is no entry', async () => {
    for (const [line, problem] of [
      ['{"loss":1}', 'no step'],
      ['what', 'not JSON'],
      ['3', 'no step'],
    ] as const) {
      const text = `{"step":1}\n${line}\n{"step":9}\n`;
      const path = directory.write('log.jsonl', text);
      await expect(TrainingLog.resume(path, 2)).rejects.toEqual(
        foretokenError('CORRUPT_FILE', `${path}:2`, problem),
      );
      expect(content(path)).toBe(text);
    }
  });

  it('names a file that cannot be written', async () => {
    mkdirSync(directory.at('log.jsonl'));
    const path = directory.at('log.jsonl');
    await expect(TrainingLog.create(path)).rejects.toEqual(foretokenError('FILE_ACCESS', path));
    await expect(TrainingLog.resume(path, 1)).rejects.toEqual(foretokenError('FILE_ACCESS', path));
    const log = await TrainingLog.create(directory.at('closed.jsonl'));
    await log.close();
    expect(() => log.write({ step: 1 })).toThrow(foretokenError('FILE_ACCESS', log.path));
  });
});
