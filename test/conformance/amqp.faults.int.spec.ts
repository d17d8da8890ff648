import { startOwnArtemis } from '../brokers/brokers.js';
import { withBrokenBroker } from './broken.broker.js';
import { amqpEnvironment } from './amqp.environment.js';

withBrokenBroker(startOwnArtemis, (broker, line) => amqpEnvironment(() => broker().access, line));
