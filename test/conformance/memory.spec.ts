import { describe, it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import { memoryEnvironment } from './memory.environment.js';

conformance({ describe, it: it.concurrent }, memoryEnvironment());
