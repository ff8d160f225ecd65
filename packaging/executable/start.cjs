// The main script of the single executable. Worker threads evaluate the text of openProgram: it uses nothing but
// modules of Node.js.

/** @returns the function that program.js holds (packed-modules.cjs), from the code that V8 compiled at build time */
function openProgram() {
  const { getAsset, getRawAsset } = process.getBuiltinModule('node:sea');
  const { Script } = process.getBuiltinModule('node:vm');
  const cachedData = new Uint8Array(getRawAsset('program.cache'));
  return new Script(getAsset('program.js', 'utf8'), { filename: 'qcow2c', cachedData }).runInThisContext();
}

openProgram()('bin/qcow2c.js', String(openProgram));
