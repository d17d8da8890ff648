/** How to start a broker of one's own. */
export interface ArtemisOptions {
  /** Also listen with TLS, on ports of their own. @default false */
  readonly tls?: boolean | undefined;
  /** Besides the administrator of `access`, who may do everything. */
  readonly users?: readonly ArtemisUser[] | undefined;
  /**
   * Address settings by the pattern of the address, over those of a fresh `artemis create`, for example
   * `{ '#': { 'max-delivery-attempts': '-1' } }`.
   */
  readonly addressSettings?: Readonly<Record<string, Readonly<Record<string, string>>>> | undefined;
  /** Elements of broker.xml's core over the harness's own, for example `{ 'journal-buffer-timeout': '3333333' }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds of silence after which it ends the connection of an AMQP client. @default Artemis's own: a minute */
  readonly idleTimeout?: number | undefined;
  /** The port for AMQP. @default a free one */
  readonly port?: number | undefined;
}

export type ArtemisPermission =
  | 'createAddress'
  | 'deleteAddress'
  | 'createDurableQueue'
  | 'deleteDurableQueue'
  | 'createNonDurableQueue'
  | 'deleteNonDurableQueue'
  | 'send'
  | 'consume'
  | 'browse'
  | 'manage';

export interface ArtemisUser {
  readonly username: string;
  readonly password: string;
  /** By the pattern of the address, for example `{ 'orders.#': ['consume'] }`. Nothing by default. */
  readonly permissions?: Readonly<Record<string, readonly ArtemisPermission[]>> | undefined;
}

/** What a client needs to connect. */
export interface ArtemisAccess {
  readonly host: string;
  /** For AMQP 1.0, and CORE. */
  readonly port: number;
  readonly username: string;
  readonly password: string;
  /** All of the above in one. */
  readonly url: string;
  /** Unknown where the environment names the broker and not this port. */
  readonly stompPort?: number | undefined;
  /** As the broker tells it, for example `2.55.0`. */
  readonly version: string;
  readonly tls?: ArtemisTls | undefined;
}

export interface ArtemisTls {
  /** The certificate to trust, as PEM. */
  readonly ca: string;
  readonly port: number;
  readonly stompPort: number;
}
