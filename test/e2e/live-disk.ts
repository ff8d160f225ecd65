/**
 * The disk of a running guest: a qcow2 image in qemu-storage-daemon with an export that a client writes to, and frozen
 * views of it with dirty bitmaps. They are made as libvirt makes them: a backup job without a copy of its own puts a
 * copy-before-write filter above the disk, and an overlay keeps the clusters that the guest overwrites.
 */
import { rm } from 'node:fs/promises';
import { create } from '../oracle/qemu-img.js';
import { type Running, start } from '../oracle/run.js';
import { StorageDaemon } from '../oracle/storage-daemon.js';

export class LiveDisk implements AsyncDisposable {
  readonly #daemon: StorageDaemon;
  readonly #socket: string;
  readonly #scratch: string;
  readonly #size: number;

  /** @param path of the image; a socket and a scratch file are made beside it @param size of the disk in bytes */
  static async start(path: string, size: number): Promise<LiveDisk> {
    const socket = `${path}.socket`;
    const daemon = await StorageDaemon.start([
      ...['--blockdev', `driver=file,node-name=file,filename=${path}`],
      ...['--blockdev', 'driver=qcow2,node-name=disk,file=file'],
      ...['--nbd-server', `addr.type=unix,addr.path=${socket},max-connections=0`],
      ...['--export', 'type=nbd,id=guest,node-name=disk,name=guest,writable=on'],
    ]);
    return new LiveDisk(daemon, socket, `${path}.scratch`, size);
  }

  private constructor(daemon: StorageDaemon, socket: string, scratch: string, size: number) {
    this.#daemon = daemon;
    this.#socket = socket;
    this.#scratch = scratch;
    this.#size = size;
  }

  /** The URI of an export. */
  uri(name: 'guest' | 'backup'): string {
    return `nbd+unix:///${name}?socket=${this.#socket}`;
  }

  /**
   * Runs `work` while the export `backup` shows the disk as it was when it was frozen.
   * @param changes the bitmap of the changes up to that moment, which is removed at the end; the export has it
   * @param next a bitmap that starts at that moment
   */
  async whileFrozen(
    changes: string | undefined,
    next: string,
    work: (uri: string) => Promise<void>,
  ): Promise<void> {
    const qmp = this.#daemon.qmp.bind(this.#daemon);
    await create(this.#scratch, this.#size);
    const file = { driver: 'file', filename: this.#scratch };
    await qmp('blockdev-add', { driver: 'qcow2', 'node-name': 'frozen', file, backing: 'disk' });
    const bitmap = (name: string | undefined) => ({ node: 'disk', name });
    await qmp('transaction', {
      actions: [
        { type: 'block-dirty-bitmap-add', data: { ...bitmap(next), persistent: true } },
        ...(changes === undefined ? [] : [{ type: 'block-dirty-bitmap-disable', data: bitmap(changes) }]),
        {
          type: 'blockdev-backup',
          data: { 'job-id': 'job', device: 'disk', target: 'frozen', sync: 'none' },
        },
      ],
    });
    const bitmaps = changes === undefined ? [] : [bitmap(changes)];
    await qmp('block-export-add', {
      type: 'nbd',
      id: 'backup',
      'node-name': 'frozen',
      name: 'backup',
      bitmaps,
    });
    await work(this.uri('backup'));
    await qmp('block-export-del', { id: 'backup', mode: 'hard' });
    await this.#daemon.event('BLOCK_EXPORT_DELETED', { id: 'backup' });
    await qmp('block-job-cancel', { device: 'job' });
    await this.#daemon.event('JOB_STATUS_CHANGE', { id: 'job', status: 'null' });
    await qmp('blockdev-del', { 'node-name': 'frozen' });
    if (changes !== undefined) await qmp('block-dirty-bitmap-remove', bitmap(changes));
    await rm(this.#scratch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }
}

/** A client that writes to an export, one command after the other, until it is stopped. */
export class BusyGuest implements AsyncDisposable {
  /** Commands that were carried out. */
  writes = 0;
  readonly #running: Running;
  readonly #commands: Iterator<string>;
  #isStopped = false;
  #waiting: { readonly from: number; readonly resolve: () => void }[] = [];

  /** @param commands of qemu-io, without end */
  constructor(uri: string, commands: Iterator<string>) {
    this.#commands = commands;
    this.#running = start('qemu-io', ['-f', 'raw', uri], { held: true });
    // The prompt comes when the command before it is done.
    let text = '';
    this.#running.child.stdout!.on('data', (more: string) => {
      text += more;
      for (let at = text.indexOf('qemu-io> '); at >= 0; at = text.indexOf('qemu-io> ')) {
        text = text.slice(at + 'qemu-io> '.length);
        this.#next();
      }
    });
  }

  #next(): void {
    this.writes += 1;
    const ready = this.#waiting.filter(({ from }) => this.writes > from);
    this.#waiting = this.#waiting.filter(({ from }) => this.writes <= from);
    for (const { resolve } of ready) resolve();
    if (this.#isStopped) this.#running.child.stdin!.end('quit\n');
    else this.#running.child.stdin!.write(`${this.#commands.next().value}\n`);
  }

  /** Waits until `count` more commands were carried out. @throws when the client ends */
  async more(count: number): Promise<void> {
    const from = this.writes + count - 1;
    const done = new Promise<void>((resolve) => this.#waiting.push({ from, resolve }));
    const ended = this.#running.finished.then(({ stdout, stderr }) => {
      throw new Error(`qemu-io ended: ${stdout}${stderr}`);
    });
    ended.catch(() => {});
    await Promise.race([done, ended]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#running.finished;
  }
}
