import { attention } from './attention';
import { common } from './common';
import { layers } from './layers';
import { linear } from './linear';
import { loss } from './loss';
import { optimizer } from './optimizer';
import { recurrent } from './recurrent';
import { sampling } from './sampling';

export const cpu = [
  ...loss,
  ...linear,
  ...attention,
  ...recurrent,
  ...layers,
  ...sampling,
  ...optimizer,
  ...common,
];
