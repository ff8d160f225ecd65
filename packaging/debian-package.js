/** The .deb, laid out as the Debian policy says (https://www.debian.org/doc/debian-policy/). */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { filesBelow, put, settle } from './file-tree.js';
import { layProgram } from './installed-program.js';
import { programLicences } from './licences.js';
import { outputOf } from './programs.js';
import { ARCHITECTURE, DATE, EPOCH, MAINTAINER, MANIFEST, ROOT, VERSION } from './release.js';

const PROGRAM = 'usr/lib/qcow2c';
const DOCUMENTS = 'usr/share/doc/qcow2c';

/** Where each shell looks for completions that come in packages. */
const COMPLETIONS = {
  bash: 'usr/share/bash-completion/completions/qcow2c',
  zsh: 'usr/share/zsh/vendor-completions/_qcow2c',
  fish: 'usr/share/fish/vendor_completions.d/qcow2c.fish',
};

/**
 * @param {string} target the .deb
 * @param {string} tree a directory that is made
 */
export function makeDebianPackage(target, tree) {
  const place = (name) => join(tree, name);
  layProgram(place(PROGRAM));
  mkdirSync(place('usr/bin'));
  symlinkSync('../lib/qcow2c/bin/qcow2c.js', place('usr/bin/qcow2c'));
  put(place('usr/share/man/man1/qcow2c.1.gz'), compressed(readFileSync(`${ROOT}docs/qcow2c.1`)));
  for (const [shell, file] of Object.entries(COMPLETIONS))
    put(place(file), outputOf(process.execPath, [`${ROOT}bin/qcow2c.js`, 'completion', shell]));
  put(place(`${DOCUMENTS}/copyright`), copyright());
  put(place(`${DOCUMENTS}/changelog.gz`), compressed(changelog()));
  copyFileSync(`${ROOT}README.md`, place(`${DOCUMENTS}/README.md`));

  const files = filesBelow(place('usr'));
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
  put(place('DEBIAN/control'), control(Math.ceil(bytes / 1024)));
  put(place('DEBIAN/md5sums'), files.map((file) => checksum(tree, file)).join(''));
  settle(tree, (file) => file.endsWith('/bin/qcow2c.js'));
  outputOf('dpkg-deb', ['--root-owner-group', '-Zxz', '--threads-max=1', '--build', tree, target], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(EPOCH) },
  });
}

/** As gzip -9n: no name and no date. */
function compressed(text) {
  return gzipSync(text, { level: 9 });
}

function checksum(tree, file) {
  return `${createHash('md5').update(readFileSync(file)).digest('hex')}  ${file.slice(tree.length + 1)}\n`;
}

/** @param {number} size in KiB */
function control(size) {
  return `Package: qcow2c
Version: ${VERSION}
Architecture: ${ARCHITECTURE}
Maintainer: ${MAINTAINER}
Installed-Size: ${size}
Depends: nodejs (>= 20.19), libc6 (>= 2.28)
Recommends: libdeflate0, libisal2, libzstd1, libnbd0
Suggests: qemu-utils
Section: utils
Priority: optional
Description: ${MANIFEST.description.split(':')[0].toLowerCase()}
 qcow2c converts disk images to compressed qcow2, and replaces
 "qemu-img convert -c" in backup jobs and CI builds. All processors compress,
 the same input gives the same bytes, and a target is renamed when it is
 complete and on disk. The commands info, check, compare, map and measure have
 the options, output and exit codes of qemu-img.
`;
}

/** DEP-5: one paragraph for each package in it, all under the same licence. */
function copyright() {
  const paragraphs = programLicences().map(({ name, files, text }) => {
    const holders = text
      .match(/^copyright .*$/gim)
      ?.map((line) => line.replace(/^copyright (\(c\) *)?/i, ''));
    if (holders === undefined || !text.includes('Permission is hereby granted, free of charge'))
      throw new Error(`The licence of ${name} is not MIT, or names no holder`);
    const place = files === '*' ? files : `${PROGRAM}/${files}`;
    return `Files: ${place}\nCopyright: ${holders.join('\n ')}\nLicense: Expat\n\n`;
  });
  const [, terms] = /^(Permission is hereby granted[\s\S]*)$/m.exec(programLicences()[0].text);
  const licence = terms.trimEnd().replaceAll(/^$/gm, '.').replaceAll(/^/gm, ' ');
  const format = 'https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/';
  return `Format: ${format}\nUpstream-Name: qcow2c\n\n${paragraphs.join('')}License: Expat\n${licence}\n`;
}

/** Debian's form of the newest section of CHANGELOG.md: a title in brackets, and entries in lines of 80 characters. */
function changelog() {
  const [, section] = readFileSync(`${ROOT}CHANGELOG.md`, 'utf8').split(/^## .*$/m);
  const paragraphs = section.split(/\n(?=- )|\n\n/).map((text) => text.trim().replaceAll(/\s+/g, ' '));
  const entries = paragraphs
    .filter((text) => text !== '')
    .map((text) => (text.startsWith('- ') ? wrapped(`* ${text.slice(2)}`) : `\n  [ ${text} ]`));
  const date = DATE.toUTCString().replace('GMT', '+0000');
  return `qcow2c (${VERSION}) unstable; urgency=medium\n${entries.join('\n')}\n\n -- ${MAINTAINER}  ${date}\n`;
}

function wrapped(text) {
  return text.replaceAll(/(.{1,76})(?: |$)/g, (_, line, at) => `${at === 0 ? '  ' : '\n    '}${line}`);
}
