/** A source made of given ranges of zeros and data. It records the calls it gets. */
import type { MappedRange } from '../../src/image/source.js';
import { FakeLayer } from './fake-layer.js';

export class FakeSource extends FakeLayer<Extract<MappedRange, { readonly kind: 'zero' | 'data' }>> {}
