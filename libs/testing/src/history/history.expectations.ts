import { DEFAULT_REACH, type FaultReach } from './fault.reach.js';

export interface ListenerExpectation {
  /** `exactly-once`: its effect is there once. `at-least-once`: it returned at least once, and again only within reach of a fault. @default 'at-least-once' */
  readonly guarantee?: 'at-least-once' | 'exactly-once';
  /** It runs inside an inbox: each effect has a record there, and each record an effect. @default false */
  readonly inbox?: boolean;
}

export interface ChannelExpectation {
  /** Who is to handle each event, by the listener's name as it is in the history. */
  readonly listeners: Readonly<Record<string, ListenerExpectation>>;
  /** Whether everything in it goes through an outbox. @default false */
  readonly outbox?: boolean;
  /**
   * Whether the broker may have an event again, under its one id: never; when a fault came in between; or no more often than the event of the
   * same name in another channel, by which it was caused. @default 'after faults'
   */
  readonly copies?: 'once' | 'after faults' | { readonly asOftenAs: string };
}

/** What a service promises. Channels that are not named here are not looked at. */
export interface HistoryExpectations {
  readonly channels: Readonly<Record<string, ChannelExpectation>>;
  readonly reach?: Partial<FaultReach>;
}

export interface ResolvedExpectations {
  readonly channels: ReadonlyMap<string, Required<ChannelExpectation>>;
  readonly listeners: ReadonlyMap<string, Required<ListenerExpectation>>;
  readonly reach: FaultReach;
}

/** Defaults filled in. */
export function resolveExpectations({ channels, reach }: HistoryExpectations): ResolvedExpectations {
  const expected = Object.entries(channels);
  const listeners = expected.flatMap(([, channel]) => Object.entries(channel.listeners));
  return {
    channels: new Map(
      expected.map(([name, channel]) => [name, { outbox: false, copies: 'after faults' as const, ...channel }]),
    ),
    listeners: new Map(
      listeners.map(([name, listener]) => [name, { guarantee: 'at-least-once' as const, inbox: false, ...listener }]),
    ),
    reach: { ...DEFAULT_REACH, ...reach },
  };
}
