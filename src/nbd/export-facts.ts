/** What a server says about an export when a connection is made. Plain data, which also passes to worker threads. */

/** What the handshake settled. Sizes in bytes. */
export interface ExportFacts {
  readonly size: number;
  /** Offsets and lengths of requests must be multiples of this. */
  readonly minimumBlock: number;
  /** The longest request. */
  readonly maximumRequest: number;
  /** Whether several connections see the same content. */
  readonly allowsConnections: boolean;
  readonly isReadOnly: boolean;
  /** The meta contexts that were asked for and are there. */
  readonly contexts: readonly string[];
}

/** The requests that change an export, as far as the server takes them. */
export interface WriteFacts {
  readonly canFlush: boolean;
  /** Writes that are durable when they are answered (FUA). */
  readonly canForce: boolean;
  readonly canZero: boolean;
  /** Refusing a request for zeros that would take as long as writing them. */
  readonly canZeroFast: boolean;
  readonly canTrim: boolean;
}
