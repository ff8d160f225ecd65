/** Asks a server about its exports and their meta contexts on the way to an export, for info. */
import { constants } from 'node:os';
import { quoted } from '../errors.js';
import type { NbdSettings } from './connection-options.js';
import type { ExportFacts } from './export-facts.js';
import { NbdConnection } from './nbd-connection.js';
import { failureOf, isRefused, NbdFailure } from './nbd-failure.js';
import type { ListCall, NbdHandle } from './nbd-handle.js';
import type { NbdAddress } from './nbd-name.js';
import { mayBeTaken } from './turned-away.js';

/** Names that are taken from one list of the server. */
const MOST_NAMES = 1000;
/** Names in a message. */
const MOST_SHOWN = 5;

interface ListedExport {
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
  const connection = await NbdConnection.open(address, settings, {
    optionMode: true,
    mayBeTaken: mayBeTaken(address),
  });
  const { handle } = connection;
  try {
    // Servers with the old handshake negotiate nothing.
    if (!handle.isNegotiating) return { connection, lists: { exports: [], metaContexts: [] } };
    const exports = await list(connection, 'nbd_aio_opt_list');
    const found = await list(connection, 'nbd_aio_opt_list_meta_context');
    await connection.negotiate(() => handle.go(contexts));
    if (!handle.isUsable) throw refusal(handle, address.exportName, exports);
    return { connection, lists: { exports, metaContexts: found.map(({ name }) => name) } };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** @returns why the server does not open an export; to be called before anything else on this handle */
function refusal({ library }: NbdHandle, name: string, listed: readonly ListedExport[]): NbdFailure {
  const error = library.error();
  if (error.errno !== constants.errno.ENOENT) return failureOf(error, false);
  const names = listed.map((each) => each.name);
  if (names.length === 0 || names.includes(name)) {
    return new NbdFailure('broken', `the server refuses the export ${quoted(name)}`);
  }
  const more = names.length > MOST_SHOWN ? ` and ${names.length - MOST_SHOWN} more` : '';
  const shown = names.slice(0, MOST_SHOWN).map(quoted).join(', ');
  return new NbdFailure('broken', `server has no export named ${quoted(name)}; it has ${shown}${more}`);
}

/** @returns the names of a list, with their descriptions if it has them */
async function list(connection: NbdConnection, call: ListCall): Promise<ListedExport[]> {
  const found: ListedExport[] = [];
  const { handle } = connection;
  const listening = handle.library.onNames((name, description) => {
    if (found.length < MOST_NAMES) found.push({ name, description });
  }, call === 'nbd_aio_opt_list');
  try {
    await connection.negotiate(() => handle.list(call, listening.callback));
  } catch (error) {
    // libnbd does not ask for meta contexts without structured replies.
    if (!isRefused(error)) throw error;
  } finally {
    listening.stop();
  }
  return found;
}
