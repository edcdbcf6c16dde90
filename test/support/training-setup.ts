import { openDevice, type Device } from '../../lib/tensor/device';
import type { TokenFile } from '../../lib/train/data';
import type { TrainerOptions } from '../../lib/train/options';
import { Trainer } from '../../lib/train/trainer';
import { TemporaryDirectory } from './temporary';
import { tinyCorpus, tinyModel, tokenizer } from './training';

/** A directory, a device and a tiny corpus that exist while a test runs, and trainers for them. Call at the top of a file. */
export class TrainingSetup {
  readonly temporary = new TemporaryDirectory();
  device!: Device;
  data!: TokenFile;

  /** @param usual options of all trainers of the file, unless a test gives others */
  constructor(private readonly usual: Partial<TrainerOptions> = {}) {
    beforeEach(async () => {
      this.device = openDevice('cpu', { threads: 2, poison: true });
      this.data = await tinyCorpus(this.temporary.path);
    });
    afterEach(async () => {
      await this.data.close();
      this.device.dispose();
    });
  }

  /** Creates a trainer that needs milliseconds for all its steps. */
  readonly create = (more: Partial<TrainerOptions> = {}): Promise<Trainer> => {
    const { device, data, usual } = this;
    return Trainer.create({
      ...{ device, tokenizer, data, model: tinyModel('parallel', 2) },
      ...{ steps: 6, batchSize: 2, sequenceLength: 16, heldOut: 0.2, ...usual, ...more },
    });
  };
}
