import { composeImage, engineObstacle, startContainer } from '../docker-container.js';
import { freePorts } from '../free-ports.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { KafkaBroker } from './kafka-broker.js';
import type { KafkaOptions } from './kafka-options.js';
import { liveBrokers } from './kafka-probe.js';
import { serverProperties } from './kafka-properties.js';

/** Why no broker can be run by Docker here, or undefined if one can. */
export async function dockerObstacle(options: KafkaOptions): Promise<string | undefined> {
  if ((options.security ?? 'plaintext') !== 'plaintext') return 'the Docker image is run without TLS and SASL';
  return engineObstacle();
}

export async function startDockerKafka(options: KafkaOptions): Promise<KafkaBroker> {
  const [free = 0] = await freePorts(1);
  const port = options.port ?? free;
  const broker = await startContainer({
    name: `nestjs-eventing-kafka-${port}`,
    folder: await ScratchFolder.create('kafka'),
    image: composeImage('apache/kafka'),
    options: ['-p', `127.0.0.1:${port}:${port}`, ...environment(port, options)],
    probe: async () => {
      const live = await liveBrokers('127.0.0.1', port);
      if (live.length === 0) throw new Error('no live broker');
    },
  });
  return { ...broker, access: { brokers: [`127.0.0.1:${port}`] } };
}

/** The image turns `KAFKA_A_B` into the property `a.b`. */
function environment(port: number, options: KafkaOptions): string[] {
  const ports = [{ client: port, internal: 19_092, controller: 19_093 }];
  const security = { protocol: 'PLAINTEXT', properties: {}, access: {} } as const;
  const properties = serverProperties({ id: 1, ports, security, extra: options.properties ?? {} }, '/tmp/kafka-logs');
  // Docker forwards the clients' port to the container's own address, not to its loopback.
  const reachable = properties.replace(/^listeners=CLIENT:\/\/127\.0\.0\.1/m, 'listeners=CLIENT://0.0.0.0');
  return reachable
    .split('\n')
    .filter(Boolean)
    .flatMap((line) => {
      const equals = line.indexOf('=');
      const variable = `KAFKA_${line.slice(0, equals).toUpperCase().replaceAll('.', '_')}`;
      return ['-e', `${variable}=${line.slice(equals + 1)}`];
    });
}
