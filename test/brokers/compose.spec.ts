import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { composeImage } from './kafka/kafka-docker.js';
import { repositoryRoot } from './repository-root.js';

it('gives users the Kafka that the tests run', () => {
  const pom = readFileSync(join(repositoryRoot(), 'test/brokers/kafka/pom.xml'), 'utf8');
  expect(composeImage()).toBe(`apache/kafka:${/<kafka\.version>(.+?)</.exec(pom)?.[1]}`);
});
