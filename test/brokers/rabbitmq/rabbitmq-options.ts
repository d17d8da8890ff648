/** How to start a broker of one's own. */
export interface RabbitMqOptions {
  /** Also listen with TLS, on ports of their own. @default false */
  readonly tls?: boolean | undefined;
  /** Besides the administrator of `access`, who may do everything. */
  readonly users?: readonly RabbitMqUser[] | undefined;
  /** Lines of rabbitmq.conf over the harness's own, for example `{ heartbeat: '1' }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** The clients' port. @default a free one */
  readonly port?: number | undefined;
}

/** What a user may do in the vhost `/`: regular expressions of the names of queues and exchanges. Nothing by default. */
export interface RabbitMqUser {
  readonly username: string;
  readonly password: string;
  /** To declare and delete. */
  readonly configure?: string | undefined;
  /** To publish. */
  readonly write?: string | undefined;
  /** To consume and bind. */
  readonly read?: string | undefined;
}

/** What a client needs to connect. */
export interface RabbitMqAccess {
  readonly host: string;
  /** For AMQP 0-9-1, and for AMQP 1.0 where the broker speaks it. */
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
  /** All of the above in one, as amqplib takes it. */
  readonly url: string;
  /** Unknown where the environment names the broker and not this port. */
  readonly stompPort?: number | undefined;
  /** As the broker tells it, for example `3.10.8`. */
  readonly version: string;
  readonly tls?: RabbitMqTls | undefined;
}

export interface RabbitMqTls {
  /** The certificate to trust, as PEM. */
  readonly ca: string;
  readonly port: number;
  readonly stompPort: number;
  readonly url: string;
}
