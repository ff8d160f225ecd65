// Jazzer.js, also where its finished binary does not load: it wants glibc 2.38 and libstdc++ 13, but only for other
// names of functions that older ones have (strtol and strtoul; the third name is never called). There it gets a copy
// that asks for the old names. Arguments: those of the command jazzer.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

const CACHE = 'node_modules/.cache/qcow2c-fuzz';

/** Names of functions, and what older libraries call them. */
const OLDER_NAMES = { __isoc23_strtol: 'strtol', __isoc23_strtoul: 'strtoul' };

/** Versions of libraries that must be there, and which of the same library do as well. */
const OLDER_VERSIONS = { 'GLIBC_2.38': 'GLIBC_2.2.5', 'GLIBCXX_3.4.32': 'GLIBCXX_3.4' };

/** Types of sections (elf.h). */
const [STRTAB, VERNEED] = [3, 0x6ffffffe];

/** @param {Buffer} elf of 64 bits, changed in place: its names are overwritten, its versions point to others */
function askForOlder(elf) {
  const sectionsAt = Number(elf.readBigUInt64LE(0x28));
  const sections = Array.from({ length: elf.readUInt16LE(0x3c) }, (_, index) => {
    const at = sectionsAt + index * 64;
    const number = (offset) => Number(elf.readBigUInt64LE(at + offset));
    return {
      type: elf.readUInt32LE(at + 4),
      at: number(0x18),
      size: number(0x20),
      link: elf.readUInt32LE(at + 0x28),
    };
  });
  const needs = sections.find(({ type }) => type === VERNEED);
  const strings = sections[needs?.link];
  if (strings?.type !== STRTAB) throw new Error('no versions are needed');
  const text = (at) => elf.toString('latin1', strings.at + at, elf.indexOf(0, strings.at + at));

  for (const [name, older] of Object.entries(OLDER_NAMES)) {
    const at = elf.indexOf(`\0${name}\0`, strings.at, 'latin1');
    if (at >= 0 && at < strings.at + strings.size) elf.write(`${older}\0`, at + 1, 'latin1');
  }
  for (let library = needs.at, next = -1; next !== 0; library += next) {
    next = elf.readUInt32LE(library + 12);
    const versions = [];
    let at = library + elf.readUInt32LE(library + 8);
    for (let left = elf.readUInt16LE(library + 2); left > 0; left -= 1) {
      versions.push({ at, name: text(elf.readUInt32LE(at + 8)) });
      at += elf.readUInt32LE(at + 12);
    }
    for (const version of versions) {
      const other = versions.find(({ name }) => name === OLDER_VERSIONS[version.name]);
      if (other === undefined) continue;
      // The hash of the name, and where the name is.
      elf.writeUInt32LE(elf.readUInt32LE(other.at), version.at);
      elf.writeUInt32LE(elf.readUInt32LE(other.at + 8), version.at + 8);
    }
  }
}

function olderCopy(file) {
  const copy = join(CACHE, basename(file));
  if (existsSync(copy)) return copy;
  const elf = readFileSync(file);
  askForOlder(elf);
  mkdirSync(dirname(copy), { recursive: true });
  writeFileSync(`${copy}.${process.pid}`, elf);
  renameSync(`${copy}.${process.pid}`, copy);
  return copy;
}

const { dlopen } = process;
process.dlopen = (module, file, ...flags) => {
  try {
    return dlopen.call(process, module, file, ...flags);
  } catch (error) {
    if (process.platform !== 'linux' || !/version `(GLIBC|GLIBCXX)_.* not found/.test(error.message))
      throw error;
    return dlopen.call(process, module, olderCopy(file), ...flags);
  }
};

// Most inputs are refused, and a stack of calls takes longer than all the rest.
Error.stackTraceLimit = 4;

createRequire(import.meta.url)('@jazzer.js/core/dist/cli.js');
