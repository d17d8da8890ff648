export { VirtualClock } from './virtual.clock.js';

export {
  conformance,
  conformanceCases,
  type ConformanceOptions,
  type TestRunner,
} from './conformance/conformance.suite.js';
export type {
  ConformanceCluster,
  ConformanceEnvironment,
  ConformanceTraits,
} from './conformance/conformance.environment.js';
export { ConformanceReport, type ConformanceResult } from './conformance/conformance.report.js';
