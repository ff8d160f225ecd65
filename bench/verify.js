// Is an output right? qemu-img judges both sides' images the same way. Used once for each side.
import { spawnSync } from 'node:child_process';

/**
 * @param {string} source raw @param {string} target qcow2
 * @returns {string | undefined} what is wrong
 */
export function verify(source, target) {
  const questions = [
    ['check', '-q', '-f', 'qcow2', target],
    ['compare', '-q', '-f', 'raw', '-F', 'qcow2', source, target],
  ];
  for (const args of questions) {
    const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
    if (status !== 0) return `qemu-img ${args[0]} ends with ${status}: ${(stdout + stderr).trim()}`;
  }
  return undefined;
}
