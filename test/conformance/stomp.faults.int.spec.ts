import { startOwnArtemis } from '../brokers/brokers.js';
import { withBrokenBroker } from './broken.broker.js';
import { stompEnvironment } from './stomp.environment.js';

withBrokenBroker(startOwnArtemis, (broker, line) => stompEnvironment(() => broker().access, line));
