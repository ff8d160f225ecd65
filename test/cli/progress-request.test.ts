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

test('the work is planned ahead from the first signal on, and the first answer waits one piece for it', () => {
  const process = new EventEmitter();
  const stderr = new RecordedOutput();
  const request = new ProgressRequest(process, stderr);
  expect(request.wantsShare()).toBe(false);
  process.emit('SIGUSR1');
  request.update({ ...halfDone, guestBytes: 200 });
  expect(stderr.text).toBe('');
  expect(request.wantsShare()).toBe(true);
  request.update({ ...halfDone, guestBytes: 200, share: 0.9 });
  expect(stderr.text).toBe('    (90.00/100%)\n');
});

test('an answer waits for no plan that does not come: not twice, and not at the end', () => {
  for (const [updates, answer] of [
    [[halfDone, { ...halfDone, guestBytesDone: 0 }], '    (0.00/100%)\n'],
    [[{ ...halfDone, guestBytesDone: 2 }], '    (100.00/100%)\n'],
  ] as const) {
    const process = new EventEmitter();
    const stderr = new RecordedOutput();
    const request = new ProgressRequest(process, stderr);
    request.wantsShare();
    process.emit('SIGUSR1');
    for (const update of updates) request.update(update);
    expect(stderr.text).toBe(answer);
  }
});

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
