/**
 * The two parts of kafkajs that this room builds on: its connection (sockets, TLS, SASL, request queue and time-outs) and its
 * request codecs. They have no types of their own. Pinned by a test to the version they were read in.
 */
declare module 'kafkajs/src/network/connection.js' {
  import type { Socket } from 'node:net';
  import type { Protocol } from 'kafkajs/src/protocol/requests/index.js';

  export interface ConnectionOptions {
    host: string;
    port: number;
    logger: unknown;
    clientId: string;
    ssl: object | null;
    sasl: object | null;
    connectionTimeout: number;
    requestTimeout: number;
    enforceRequestTimeout: boolean;
    maxInFlightRequests: number | null;
    socketFactory: (options: { host: string; port: number; ssl: object | null; onConnect: () => void }) => Socket;
  }

  export default class Connection {
    constructor(options: ConnectionOptions);
    connect(): Promise<unknown>;
    authenticate(): Promise<void>;
    disconnect(): Promise<unknown>;
    isConnected(): boolean;
    setVersions(versions: Record<number, { minVersion: number; maxVersion: number }>): void;
    setSupportAuthenticationProtocol(supported: boolean): void;
    send(protocol: Protocol): Promise<unknown>;
  }
}

declare module 'kafkajs/src/protocol/requests/index.js' {
  export interface Protocol {
    request: {
      apiKey: number;
      apiVersion: number;
      apiName: string;
      expectResponse?: () => boolean;
      encode: () => Promise<unknown>;
    };
    response: {
      decode: (bytes: Buffer) => Promise<unknown>;
      parse: (decoded: unknown) => Promise<unknown>;
    };
    requestTimeout?: number;
    logResponseError?: boolean;
  }

  export interface Definition {
    versions: string[];
    protocol: (query: { version: number }) => (options?: object) => Protocol;
  }

  const module: { requests: Record<string, Definition> };
  export default module;
}

declare module 'kafkajs/src/protocol/error.js' {
  const module: { errorCodes: readonly { type: string; code: number; retriable: boolean; message: string }[] };
  export default module;
}
