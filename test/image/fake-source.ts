/** A source made of stated ranges of zeros and data, that writes down what it is asked. */
import type { MappedRange } from '../../src/image/source.js';
import { FakeLayer, type LayerStretch } from './fake-layer.js';

/** A stretch of one kind, in bytes. */
export type Stretch = LayerStretch<'zero' | 'data'>;

export class FakeSource extends FakeLayer<Extract<MappedRange, { readonly kind: 'zero' | 'data' }>> {}
