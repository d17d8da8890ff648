import { expect, it } from 'vitest';
import { composeImage } from './docker-container.js';
import { jarVersion } from './java/jar-folder.js';

it.each([
  ['kafka', 'apache/kafka'],
  ['artemis', 'apache/artemis'],
])('gives users the %s that the tests run', (broker, repository) => {
  expect(composeImage(repository)).toBe(`${repository}:${jarVersion(broker)}`);
});

it('pins the PostgreSQL that it gives to users', () => {
  expect(composeImage('postgres')).toMatch(/^postgres:\d+$/);
});

it('pins the RabbitMQ that it gives to users', () => {
  // The tests run the one of the machine, whichever that is.
  expect(composeImage('rabbitmq')).toMatch(/^rabbitmq:\d+\.\d+-management$/);
});
