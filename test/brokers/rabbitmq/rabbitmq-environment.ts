import { NotOwnedError } from '../broker.errors.js';
import { clientUrl } from '../credentials.js';
import { environmentPort, environmentUrl, foreignBroker, notAnswering } from '../foreign-broker.js';
import type { RabbitMqBroker } from './rabbitmq-broker.js';
import { rabbitMqVersion } from './rabbitmq-probe.js';

const VARIABLE = 'RABBITMQ_URL';
const STARTER = 'startOwnRabbitMq';

/** The broker named by the environment, if there is one. Throws if it does not answer. */
export async function environmentRabbitMq(): Promise<RabbitMqBroker | undefined> {
  const url = environmentUrl(VARIABLE);
  if (!url) return undefined;
  const at = { host: url.hostname, port: Number(url.port || 5672) };
  const version = await rabbitMqVersion(at.host, at.port).catch((error: unknown) => {
    throw notAnswering(VARIABLE, error);
  });
  const user = {
    username: decodeURIComponent(url.username) || 'guest',
    password: decodeURIComponent(url.password) || 'guest',
  };
  const vhost = decodeURIComponent(url.pathname.slice(1)) || '/';
  const to = vhost === '/' ? '' : `/${encodeURIComponent(vhost)}`;
  const stompPort = environmentPort('RABBITMQ_STOMP_PORT');
  return {
    ...foreignBroker(VARIABLE, STARTER),
    access: { ...at, ...user, vhost, url: clientUrl('amqp', { ...at, ...user }) + to, stompPort, version },
    control: () => Promise.reject(new NotOwnedError('control', VARIABLE, STARTER)),
  };
}
