import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ADMINISTRATOR, clientUrl } from '../credentials.js';
import { composeImage, docker, engineObstacle, startContainer } from '../docker-container.js';
import { freePorts } from '../free-ports.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { RabbitMqBroker } from './rabbitmq-broker.js';
import { definitions, enabledPlugins, rabbitMqConf } from './rabbitmq-config.js';
import type { RabbitMqOptions } from './rabbitmq-options.js';
import { rabbitMqVersion } from './rabbitmq-probe.js';

/** Why no broker can be run by Docker here, or undefined if one can. */
export async function dockerObstacle(options: RabbitMqOptions): Promise<string | undefined> {
  return options.tls ? 'the Docker image is run without TLS' : engineObstacle();
}

export async function startDockerRabbitMq(options: RabbitMqOptions): Promise<RabbitMqBroker> {
  const [free = 0, stompPort = 0] = await freePorts(2);
  const port = options.port ?? free;
  const folder = await ScratchFolder.create('rabbitmq');
  const configuration = await writeConfiguration(folder.path, options);
  const name = `nestjs-eventing-rabbitmq-${port}`;
  const broker = await startContainer({
    name,
    folder,
    image: composeImage('rabbitmq'),
    // The name of the host is part of the node's, and with it of its data's folder.
    options: [
      ...['--hostname', 'rabbitmq'],
      ...['-p', `127.0.0.1:${port}:5672`, '-p', `127.0.0.1:${stompPort}:61613`],
      ...['-v', `${configuration}:/etc/rabbitmq:ro`],
    ],
    probe: () => rabbitMqVersion('127.0.0.1', port),
  });
  const at = { host: '127.0.0.1', port, stompPort, ...ADMINISTRATOR, vhost: '/' };
  const version = await rabbitMqVersion(at.host, port);
  return {
    ...broker,
    access: { ...at, url: clientUrl('amqp', at), version },
    control: async (...args) => (await docker('exec', name, 'rabbitmqctl', '--quiet', ...args)).stdout,
  };
}

async function writeConfiguration(folder: string, options: RabbitMqOptions): Promise<string> {
  const configuration = join(folder, 'etc');
  await mkdir(configuration);
  // Docker forwards ports to the container's own address, not to its loopback.
  const listeners = { host: '0.0.0.0', port: 5672, stompPort: 61_613 };
  const conf = { listeners, definitionsFile: '/etc/rabbitmq/definitions.json', extra: options.settings ?? {} };
  await writeFile(join(configuration, 'rabbitmq.conf'), rabbitMqConf(conf));
  await writeFile(join(configuration, 'definitions.json'), definitions(options.users ?? []));
  // From RabbitMQ 4 on AMQP 1.0 needs no plugin.
  await writeFile(join(configuration, 'enabled_plugins'), enabledPlugins(['rabbitmq_stomp']));
  return configuration;
}
