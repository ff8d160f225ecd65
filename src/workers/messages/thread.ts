/** The messages between a pool and a worker thread. A thread answers each question before it is asked the next one. */
import type { BrokeredRead } from '../brokered-read.js';
import type { ItemFailure } from '../item-failure.js';
import type { CompareDisks } from './comparison.js';
import type { CompressClusters } from './compression.js';
import type { DigestBlocks } from './digest.js';
import type { ExaminePayloads } from './examination.js';
import type { FindRuns } from './runs.js';
import type { PoolSharedMemory } from './task.js';

export type AnyTask = CompressClusters | FindRuns | CompareDisks | DigestBlocks | ExaminePayloads;

export type Question =
  /** Selects the task of the items that follow. */
  | { readonly kind: 'setup'; readonly setup: AnyTask['setup']; readonly memory: PoolSharedMemory }
  /** Answered with an ItemReply. */
  | { readonly kind: 'item'; readonly item: AnyTask['item'] }
  /** Frees the engines, memory and connections that the thread holds for the pool. */
  | { readonly kind: 'release' };

export type ItemReply<Answer> = Answer | { readonly failure: ItemFailure };

export type Reply =
  /** The first message of a thread, before any answer: its modules are loaded. */
  | { readonly loaded: true }
  | { readonly answer: unknown }
  | { readonly thrown: unknown }
  /** No answer yet: the thread waits for bytes that the main thread reads. */
  | { readonly read: BrokeredRead };
