import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { ProgressRequest } from '../../src/cli/progress/progress-request.js';
import { RecordedOutput } from './recorded-output.js';

const halfDone = { guestBytesDone: 1, guestBytes: 2, dataBytes: 1, storedBytes: 1 };

test.each(['SIGUSR1', 'SIGINFO'])(
  '%s is answered once, with the next progress, on standard error',
  (signal) => {
    const process = new EventEmitter();
    const stderr = new RecordedOutput();
    const request = new ProgressRequest(process, stderr);
    request.update(halfDone);
    expect(stderr.text).toBe('');
    process.emit(signal);
    request.update(halfDone);
    request.update(halfDone);
    expect(stderr.text).toBe('    (50.00/100%)\n');
  },
);

test('for a stream the answer is the number of bytes read', () => {
  const process = new EventEmitter();
  const stderr = new RecordedOutput();
  const request = new ProgressRequest(process, stderr);
  process.emit('SIGUSR1');
  request.update({ guestBytesDone: 4096, guestBytes: undefined, dataBytes: 0, storedBytes: 0 });
  expect(stderr.text).toBe('    (4096 bytes)\n');
});

test('the listener is removed after the conversion', () => {
  const process = new EventEmitter();
  new ProgressRequest(process, new RecordedOutput()).release();
  expect(process.eventNames()).toEqual([]);
});
