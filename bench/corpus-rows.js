// Rows that exist for several sources.
import { ratio } from './bars.js';
import { busy, cpuAtMost, cpuRatio, peakAtMost, sizeAtMost, timesFaster } from './usual-bars.js';

/** @typedef {import('./rows.js').Row} Row */

/** @param {string} corpus @param {string} name @param {number} cpu limit of the default's CPU time @returns {Row[]} */
export function systemFiles(corpus, name, cpu) {
  const side = (/** @type {string} */ id) => `${corpus}/${id}`;
  return [
    {
      id: `${corpus}-zlib`,
      title: `${name}, zlib`,
      against: 'qemu-img -c -W -m 16 -t none',
      sides: [side('direct'), side('qemu-parallel')],
      bars: [
        cpuAtMost(side('direct'), side('qemu-parallel'), cpu),
        timesFaster(side('direct'), side('qemu-parallel'), 4.5),
        sizeAtMost(side('direct'), side('qemu-parallel'), 1),
      ],
    },
    {
      id: `${corpus}-plain`,
      title: `${name}, zlib`,
      against: 'qemu-img -c',
      sides: [side('plain'), side('qemu-plain')],
      bars: [
        timesFaster(side('plain'), side('qemu-plain'), 6),
        sizeAtMost(side('plain'), side('qemu-plain'), 1),
      ],
    },
    {
      id: `${corpus}-fast`,
      title: `${name}, --fast`,
      against: 'qemu-img -c -W -m 16 -t none',
      sides: [side('fast'), side('qemu-parallel')],
      bars: [
        cpuAtMost(side('fast'), side('qemu-parallel'), 0.12),
        timesFaster(side('fast'), side('qemu-parallel'), 7),
        sizeAtMost(side('fast'), side('qemu-parallel'), 1.05),
      ],
    },
    {
      id: `${corpus}-zstd`,
      title: `${name}, both zstd`,
      against: 'qemu-img -c -W -m 16 -t none',
      sides: [side('zstd'), side('qemu-zstd')],
      bars: [
        timesFaster(side('zstd'), side('qemu-zstd'), 2),
        sizeAtMost(side('zstd'), side('qemu-zstd'), 1.005),
      ],
    },
    {
      id: `${corpus}-overhead`,
      title: `${name}, overhead`,
      against: 'the engine loop',
      sides: [side('overhead'), side('libdeflate-loop')],
      bars: [cpuAtMost(side('overhead'), side('libdeflate-loop'), 1.1)],
    },
    {
      id: `${corpus}-overhead-fast`,
      title: `${name}, overhead of --fast`,
      against: 'the engine loop',
      sides: [side('fast'), side('isal-loop')],
      bars: [cpuAtMost(side('fast'), side('isal-loop'), 1.25)],
    },
    {
      id: `${corpus}-cores`,
      title: `${name}, cores kept busy`,
      sides: [side('direct'), side('fast')],
      bars: [busy('default', side('direct')), busy('--fast', side('fast'))],
    },
    {
      id: `${corpus}-raw-to-raw`,
      title: `${name}, raw to raw`,
      against: 'qemu-img -O raw -W -m 16 -t none',
      sides: [side('qcow2c-raw-to-raw'), side('qemu-img-raw-to-raw')],
      bars: [timesFaster(side('qcow2c-raw-to-raw'), side('qemu-img-raw-to-raw'), 1)],
    },
  ];
}

/**
 * @param {string} corpus compressed by qemu-img @param {string} name
 * @returns {Row[]} restoring and copying: the other half of a backup
 */
export function backup(corpus, name) {
  const side = (/** @type {string} */ id) => `${corpus}/${id}`;
  return [
    {
      id: `${corpus}-passthrough`,
      title: `${name} in zlib to zlib, payloads copied`,
      against: 'qemu-img -c -W -m 16 -t none',
      sides: [side('passthrough'), side('qemu-parallel')],
      bars: [
        timesFaster(side('passthrough'), side('qemu-parallel'), 10),
        peakAtMost('copied payloads', side('passthrough'), 160),
      ],
      shown: [
        cpuRatio(side('passthrough'), side('qemu-parallel')),
        { label: 'size', unit: 'percent', figure: ratio('size', side('passthrough'), side('qemu-parallel')) },
      ],
    },
    {
      id: `${corpus}-raw`,
      title: `${name} in zlib to raw`,
      against: 'qemu-img -O raw -W -m 16 -t none',
      sides: [side('raw'), side('qemu-raw')],
      bars: [timesFaster(side('raw'), side('qemu-raw'), 2.2), peakAtMost('to raw', side('raw'), 160)],
      shown: [cpuRatio(side('raw'), side('qemu-raw'))],
    },
    {
      id: `${corpus}-inflating`,
      title: `${name} in zlib to raw`,
      against: 'the inflating loop',
      sides: [side('raw'), side('inflating-loop')],
      bars: [cpuAtMost(side('raw'), side('inflating-loop'), 1.5)],
    },
  ];
}
