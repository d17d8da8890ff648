import { foreignBroker, notAnswering } from '../foreign-broker.js';
import type { KafkaBroker } from './kafka-broker.js';
import { liveBrokers } from './kafka-probe.js';

const VARIABLE = 'KAFKA_BROKERS';

/** The broker named by the environment, if there is one. Throws if it does not answer. */
export async function environmentKafka(): Promise<KafkaBroker | undefined> {
  const brokers = (process.env[VARIABLE] ?? '')
    .split(',')
    .map((address) => address.trim())
    .filter(Boolean);
  const first = brokers[0];
  if (!first) return undefined;

  const { hostname, port } = new URL(`kafka://${first}`);
  await liveBrokers(hostname, Number(port || 9092)).catch((error: unknown) => {
    throw notAnswering(VARIABLE, error);
  });
  return { ...foreignBroker(VARIABLE, 'startOwnKafka'), access: { brokers } };
}
