/** A source made of given ranges of zeros and data. It records the calls it gets. */
import type { MappedRange } from '../../src/image/source.js';
import { FakeLayer, type LayerStretch } from './fake-layer.js';

/** A range of one kind, in bytes. */
export type Stretch = LayerStretch<'zero' | 'data'>;

export class FakeSource extends FakeLayer<Extract<MappedRange, { readonly kind: 'zero' | 'data' }>> {}
