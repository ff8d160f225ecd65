// Is an output right? qemu-img judges both sides' images the same way. Used once for each side.
import { spawnSync } from 'node:child_process';

/**
 * @param {string} source @param {'raw' | 'qcow2'} sourceFormat
 * @param {string} target @param {'raw' | 'qcow2'} targetFormat
 * @returns {string | undefined} the violation
 */
export function verify(source, sourceFormat, target, targetFormat) {
  const questions = [['compare', '-q', '-f', sourceFormat, '-F', targetFormat, source, target]];
  if (targetFormat === 'qcow2') questions.push(['check', '-q', '-f', 'qcow2', target]);
  for (const args of questions) {
    const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
    if (status !== 0) return `qemu-img ${args[0]} ends with ${status}: ${(stdout + stderr).trim()}`;
  }
  return undefined;
}
