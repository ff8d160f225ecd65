/** Modules of Node.js that are loaded at their first use: each takes some milliseconds, in every thread. */

export function crypto(): typeof import('node:crypto') {
  return process.getBuiltinModule('node:crypto');
}

export function zlib(): typeof import('node:zlib') {
  return process.getBuiltinModule('node:zlib');
}
