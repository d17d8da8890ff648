import { startOwnKafka } from '../brokers/brokers.js';
import { withBrokenBroker } from './broken.broker.js';
import { kafkaEnvironment } from './kafka.environment.js';

withBrokenBroker(startOwnKafka, (broker, line) => kafkaEnvironment(() => broker().access.brokers, line));
