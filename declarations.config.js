// Rolls the declarations of the library's exports into one file, without those of internal modules (rollup -c).
import { dts } from 'rollup-plugin-dts';

export default {
  input: 'src/index.ts',
  output: { file: 'dist/index.d.ts' },
  plugins: [dts()],
};
