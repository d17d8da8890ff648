import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import { randomBytes } from 'node:crypto';
import { embeddedEnvironment } from './embedded.environment.js';

const environment = embeddedEnvironment(join(tmpdir(), `nestjs-eventing-embedded-${randomBytes(4).toString('hex')}`));

afterAll(() => environment.end());

conformance({ describe, it: it.concurrent }, environment);
