import { attention } from './attention';
import { common } from './common';
import { layers } from './layers';
import { linear } from './linear';
import { loss } from './loss';
import { optimizer } from './optimizer';
import { sampling } from './sampling';

export const cpu = [...loss, ...linear, ...attention, ...layers, ...sampling, ...optimizer, ...common];
