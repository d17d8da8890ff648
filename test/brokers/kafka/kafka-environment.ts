import { NotOwnedError } from '../broker.errors.js';
import type { KafkaBroker } from './kafka-broker.js';
import { liveBrokers } from './kafka-probe.js';

const VARIABLE = 'KAFKA_BROKERS';

/** The broker named by the environment, if there is one. Throws if it does not answer: nobody names one by accident. */
export async function environmentKafka(): Promise<KafkaBroker | undefined> {
  const brokers = (process.env[VARIABLE] ?? '')
    .split(',')
    .map((address) => address.trim())
    .filter(Boolean);
  const first = brokers[0];
  if (!first) return undefined;

  const { hostname, port } = new URL(`kafka://${first}`);
  await liveBrokers(hostname, Number(port || 9092)).catch((error: Error) => {
    throw new Error(
      `${VARIABLE} names a broker which does not answer: ${error.message}. Start it, or unset the variable.`,
    );
  });

  const refuse = (action: string) => () => Promise.reject(new NotOwnedError(action, VARIABLE));
  return {
    available: true,
    source: 'environment',
    owned: false,
    access: { brokers },
    kill: refuse('kill'),
    stop: refuse('stop'),
    restart: refuse('restart'),
    wipe: refuse('wipe'),
    suspend: refuse('suspend'),
    resume: refuse('resume'),
    close: async () => {},
  };
}
