import { onFreePorts } from '../broker-process.js';
import { ADMINISTRATOR, clientUrl } from '../credentials.js';
import { ScratchFolder } from '../scratch-folder.js';
import { selfSigned } from '../self-signed.js';
import type { RabbitMqBroker } from './rabbitmq-broker.js';
import type { RabbitMqInstallation } from './rabbitmq-installation.js';
import { RabbitMqNode } from './rabbitmq-node.js';
import type { RabbitMqAccess, RabbitMqOptions } from './rabbitmq-options.js';

const HOST = '127.0.0.1';

/** A node as a process of this machine. */
export function startMachineRabbitMq(
  installation: RabbitMqInstallation,
  options: RabbitMqOptions,
): Promise<RabbitMqBroker> {
  return onFreePorts(6, options.port, async (ports) => {
    const folder = await ScratchFolder.create('rabbitmq');
    let node: RabbitMqNode | undefined;
    const close = async () => {
      await node?.end();
      await folder.remove();
    };
    try {
      const plan = await planListeners(ports, options.tls ?? false, folder.path);
      node = new RabbitMqNode(installation, { ...options, ...plan.node, folder: folder.path });
      await node.start();
      return describe(node, { ...plan.access, version: installation.version }, close);
    } catch (error) {
      await close();
      throw error;
    }
  });
}

async function planListeners(ports: readonly number[], tls: boolean, folder: string) {
  const [port = 0, stompPort = 0, distributionPort = 0, epmdPort = 0, tlsPort = 0, tlsStompPort = 0] = ports;
  const at = { host: HOST, port, stompPort };
  const access = { ...at, ...ADMINISTRATOR, vhost: '/', url: clientUrl('amqp', { ...at, ...ADMINISTRATOR }) };
  if (!tls) return { node: { listeners: at, distributionPort, epmdPort }, access };

  const { certificate: ca, ...files } = await selfSigned(folder);
  const secure = { port: tlsPort, stompPort: tlsStompPort };
  const url = clientUrl('amqps', { host: HOST, port: tlsPort, ...ADMINISTRATOR });
  return {
    node: { listeners: { ...at, tls: { ...secure, ...files } }, distributionPort, epmdPort },
    access: { ...access, tls: { ...secure, ca, url } },
  };
}

function describe(node: RabbitMqNode, access: RabbitMqAccess, close: () => Promise<void>): RabbitMqBroker {
  return {
    available: true,
    source: 'machine',
    owned: true,
    access,
    control: (...args) => node.control(args),
    kill: () => node.kill(),
    stop: () => node.stop(),
    restart: () => node.restart(),
    wipe: () => node.wipe(),
    suspend: () => node.suspend(),
    resume: async () => node.resume(),
    close,
  };
}
