/** Asks a server about its exports and their meta contexts on the way to an export, for info. */
import { quoted } from '../errors.js';
import type { Libnbd } from './libnbd.js';
import { NbdConnection } from './nbd-connection.js';
import { NbdFailure } from './nbd-failure.js';
import type { ExportFacts, NbdSettings } from './nbd-handle.js';
import type { NbdAddress } from './nbd-name.js';

/** Names that are taken from one list of the server. */
const MOST_NAMES = 1000;

export interface ListedExport {
  readonly name: string;
  /** For people; empty: none. */
  readonly description: string;
}

/** What a server lists. A list is empty if the server does not have it. */
export interface ServerLists {
  /** Of the export that is opened. */
  readonly metaContexts: readonly string[];
  /** All exports of the server, at most 1000. */
  readonly exports: readonly ListedExport[];
}

/** An export, with what its server tells about others. */
export interface ExportDescription extends Omit<ExportFacts, 'contexts' | 'size'>, ServerLists {}

/**
 * Connects as `NbdConnection.open`, and asks for the lists before the export is chosen: on the same connection, because
 * a server may allow no other one.
 * @param contexts the meta contexts to ask for
 * @throws Qcow2cError ERR_UNSUPPORTED without libnbd; NbdFailure
 */
export async function openWithLists(
  address: NbdAddress,
  settings: NbdSettings,
  contexts: readonly string[],
): Promise<{ readonly connection: NbdConnection; readonly lists: ServerLists }> {
  const exports: ListedExport[] = [];
  const metaContexts: string[] = [];
  const connection = await NbdConnection.open(address, settings, [], true);
  const { handle } = connection;
  try {
    if (handle.isNegotiating) {
      const pointers = namePointers(handle.library);
      listener = (name, description) => {
        if (exports.length < MOST_NAMES) exports.push({ name, description });
      };
      await connection.negotiate(() => handle.list('nbd_aio_opt_list', pointers.exports));
      listener = (name) => {
        if (metaContexts.length < MOST_NAMES) metaContexts.push(name);
      };
      await connection.negotiate(() => handle.list('nbd_aio_opt_list_meta_context', pointers.contexts));
      await connection.negotiate(() => handle.go(contexts));
      if (!handle.isUsable) {
        throw new NbdFailure('broken', `the server refuses the export ${quoted(address.exportName)}`);
      }
    }
    return { connection, lists: { exports, metaContexts } };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Takes the names of the list that is awaited. */
let listener: (name: string, description: string) => void = () => {};
let known: { readonly exports: unknown; readonly contexts: unknown } | undefined;

/** One pair of callbacks for all lists: koffi has room for a few thousand only. */
function namePointers(library: Libnbd) {
  known ??= {
    exports: library.onNames((_, name, description) => listener(name, description), true),
    contexts: library.onNames((_, name) => listener(name, ''), false),
  };
  return known;
}
