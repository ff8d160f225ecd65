/** Chooses the progress display of a command. */
import type { CommandIo } from '../command-io.js';
import type { ProgressDisplay, ProgressStyle } from './progress-display.js';
import { JsonDisplay } from './progress-json.js';
import { QemuDisplay } from './progress-qemu.js';

/** @param style auto: a bar on a terminal, otherwise qemu-img's lines */
export async function openDisplay(style: ProgressStyle, io: CommandIo): Promise<ProgressDisplay> {
  const { stdout, stderr, now } = io;
  switch (style === 'auto' ? (stderr.isTTY ? 'bar' : 'qemu') : style) {
    case 'bar': {
      // Loaded on demand: conversions without a bar start faster.
      const { BarDisplay } = await import('./progress-bar.js');
      return new BarDisplay(stderr, now);
    }
    case 'json':
      return new JsonDisplay(stderr, now);
    case 'qemu':
      return new QemuDisplay(stdout);
    case 'none':
      return { start() {}, update() {}, end() {} };
  }
}
