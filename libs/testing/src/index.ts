export { type OverridableBuilder, TestEventing, testEventing, type TestEventingOptions } from './kit/test.eventing.js';
export type { RawMessageOptions } from './kit/foreign.publisher.js';
export type { SettleOptions } from './kit/settling.js';
export type { Attempt, Delivered, Handled } from './kit/delivery.record.js';
export type { EventOf, ListenerClass, ListenerTarget } from './kit/listener.target.js';
export { type FaultOptions, type MessageFaultOptions, TestFaults } from './kit/test.faults.js';

export { DelayAtRandom, type DelayAtRandomOptions } from './chaos/delay-at-random.pipeline.js';
export { DuplicateAtRandom, type DuplicateAtRandomOptions } from './chaos/duplicate-at-random.pipeline.js';
export { FailAtRandom, type FailAtRandomOptions } from './chaos/fail-at-random.pipeline.js';
export type { ChaosOptions } from './chaos/chaos.options.js';

export { VirtualClock } from './virtual.clock.js';

export { History } from './history/history.js';
export type { ChannelExpectation, HistoryExpectations, ListenerExpectation } from './history/history.expectations.js';
export { type HistoryVerdict, judgeHistory } from './history/history.judge.js';
export { readHistory, readRecords } from './history/history.reader.js';
export * from './history/history.record.js';
export { HistoryWriter, type Unstamped } from './history/history.writer.js';
export type { FaultReach } from './history/fault.reach.js';
export type { Property, Violation } from './history/violation.js';

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
