/** Chooses the progress display of a command. */
import type { CommandIo } from '../command-io.js';
import type { ProgressDisplay, ProgressStyle } from './progress-display.js';
import { JsonDisplay } from './progress-json.js';
import { QemuDisplay } from './progress-qemu.js';

/** @param style auto: a bar on a terminal, otherwise qemu-img's lines */
export async function openDisplay(style: ProgressStyle, io: CommandIo): Promise<ProgressDisplay> {
  const { stdout, stderr, now } = io;
  const [name = '', interval] = style.split(',');
  const seconds = interval === undefined ? undefined : Number(interval);
  const shown = name === 'auto' ? (stderr.isTTY ? 'bar' : 'qemu') : name;
  // Such a terminal shows escape sequences as text.
  switch (shown === 'bar' && process.env['TERM'] === 'dumb' ? 'log' : shown) {
    case 'bar': {
      // Loaded on demand: conversions without a bar start faster.
      const { BarDisplay } = await import('./progress-bar.js');
      return new BarDisplay(stderr, now);
    }
    case 'log': {
      const { LogDisplay } = await import('./progress-log.js');
      return new LogDisplay(stderr, now, seconds);
    }
    case 'json':
      return new JsonDisplay(stderr, now, seconds);
    case 'qemu':
      return new QemuDisplay(stdout);
    default:
      return { start() {}, update() {}, end() {} };
  }
}
