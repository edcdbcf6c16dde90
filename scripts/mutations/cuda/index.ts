import { attention } from './attention';
import { common } from './common';
import { host } from './host';
import { layers } from './layers';
import { linear } from './linear';
import { loss } from './loss';
import { optimizer } from './optimizer';
import { recurrent } from './recurrent';
import { sampling } from './sampling';

export const cuda = [
  ...common,
  ...layers,
  ...optimizer,
  ...linear,
  ...loss,
  ...attention,
  ...recurrent,
  ...sampling,
  ...host,
];
