export type KafkaSecurity = 'plaintext' | 'sasl-plain' | 'tls' | 'sasl-tls';

/** How to start a broker of one's own. */
export interface KafkaOptions {
  /** What the listener for clients asks for. @default 'plaintext' */
  readonly security?: KafkaSecurity | undefined;
  /** Broker properties over the harness's own, for example `{ 'message.max.bytes': '2048' }`. */
  readonly properties?: Readonly<Record<string, string>> | undefined;
  /** `quick-start` compiles little and has a small heap; a broker that lives for minutes wants `throughput`. @default 'quick-start' */
  readonly profile?: 'quick-start' | 'throughput' | undefined;
  /** The clients' port of the first node. @default a free one */
  readonly port?: number | undefined;
}

/** What a client needs; its fields are those of kafkajs's configuration, so that it can be spread into it. */
export interface KafkaAccess {
  readonly brokers: string[];
  /** The certificate to trust, as PEM. */
  readonly ssl?: { readonly ca: string };
  readonly sasl?: { readonly mechanism: 'plain'; readonly username: string; readonly password: string };
}

/** Options for the Java process. */
export function jvmOptions(profile: KafkaOptions['profile'] = 'quick-start'): string[] {
  // Measured on two cores: the serial collector and the first compiler tier start a broker a quarter sooner, with half of
  // the CPU. The second tier takes a third off the cost of a record, but only after about a million of them.
  if (profile === 'quick-start') return ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
  return ['-Xms512m', '-Xmx1g', '-XX:+UseSerialGC'];
}
