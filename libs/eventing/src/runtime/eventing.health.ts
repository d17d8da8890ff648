import type { Clock } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { StoppedAt } from '../receive/listener.stop.js';
import type { ProviderHost } from '../provider/provider.host.js';
import type { Subscriptions } from './subscriptions.js';
import { within } from './within.js';

export interface ProviderHealth {
  readonly name: string;
  readonly kind: string;
  readonly connected: boolean;
}

export interface SubscriptionHealth {
  /** The listener; where several share a group, the group. */
  readonly name: string;
  readonly paused: boolean;
  /** Where its listener has stopped, under `retry.exhausted: 'stop'`, and why; until it is resumed. */
  readonly stopped?: StoppedAt;
  /** Events that were given up since the start, under `retry.exhausted: 'discard'`. */
  readonly discarded: number;
  /** Messages stored and not settled, of what this process has of it; `undefined` where the broker did not say in time. */
  readonly lag: number | undefined;
  /** Delivered to this process and not settled. */
  readonly unsettled: number;
  /** Milliseconds since the oldest of those was sent; 0 where there is none. */
  readonly oldestUnsettled: number;
}

export interface EventingReport {
  /** Connected and subscribed. */
  readonly ready: boolean;
  readonly providers: readonly ProviderHealth[];
  readonly subscriptions: readonly SubscriptionHealth[];
}

export interface HealthBounds {
  /** Greatest lag of a subscription that is called healthy. @default any */
  readonly maxLag?: number;
  /** Greatest age of an unsettled event that is called healthy, milliseconds. @default any */
  readonly maxAge?: number;
  /** Milliseconds for which the brokers are waited for. @default 3000 */
  readonly timeout?: number;
}

/** What `@nestjs/terminus` takes from an indicator. */
export type HealthResult<K extends string = string> = Record<
  K,
  { readonly status: 'up' | 'down'; readonly message?: string } & EventingReport
>;

/**
 * How the application's eventing fares. Injectable; its `check` is an indicator for `@nestjs/terminus`:
 * `health.check([() => eventing.check('eventing', { maxAge: 60_000 })])`.
 */
export class EventingHealth {
  constructor(
    private readonly hosts: ReadonlyMap<string, ProviderHost>,
    private readonly subscriptions: Subscriptions,
    private readonly clock: Clock,
    private readonly ready: () => boolean,
  ) {}

  /** Never rejects. @param timeout milliseconds for which the brokers are waited for. @default 3000 */
  async report(timeout = 3000): Promise<EventingReport> {
    const subscriptions = this.subscriptions.all().map(async (running): Promise<SubscriptionHealth> => {
      let lag: number | undefined;
      const asked = running.lag().then((count) => (lag = count));
      await within(asked, timeout, this.clock).catch(() => undefined);
      const { plan, paused, stopped, discarded, unsettled } = running;
      const sent = running.oldestUnsettled;
      const oldestUnsettled = sent === undefined ? 0 : Math.max(0, this.clock.now() - sent);
      const stop = stopped === undefined ? {} : { stopped };
      return { name: plan.name, paused, ...stop, discarded, lag, unsettled, oldestUnsettled };
    });
    return {
      ready: this.ready(),
      providers: [...this.hosts.values()]
        .filter((host) => host.used)
        .map((host) => ({ name: host.name, kind: host.provider.kind, connected: host.status === 'connected' })),
      subscriptions: await Promise.all(subscriptions),
    };
  }

  /**
   * `up` while it is ready, no listener has stopped, and it is within bounds; a lag that the broker does not tell is out of bounds where one is set.
   * @throws EventingError EVT_INVALID_OPTIONS for a bound that is no number above 0
   */
  async check<K extends string = 'eventing'>(key?: K, bounds: HealthBounds = {}): Promise<HealthResult<K>> {
    for (const [name, value] of Object.entries(bounds as Record<string, unknown>))
      if (value !== undefined && !(typeof value === 'number' && value > 0))
        throw new EventingError('EVT_INVALID_OPTIONS', `EventingHealth.check(): ${name} must be a number above 0.`);
    const { maxLag = Infinity, maxAge = Infinity, timeout } = bounds;
    const report = await this.report(timeout);
    const faults = [
      ...report.providers.filter(({ connected }) => !connected).map(({ name }) => `${name} is not connected`),
      ...report.subscriptions.flatMap(({ name, stopped, lag, oldestUnsettled }) => [
        ...(stopped === undefined
          ? []
          : [`${stopped.listener} has stopped at ${stopped.channel} ${stopped.position}: ${stopped.error.message}`]),
        ...(maxLag < Infinity && (lag ?? Infinity) > maxLag
          ? [`${name} lags by ${lag ?? 'nobody knows how much'}`]
          : []),
        ...(oldestUnsettled > maxAge ? [`${name} has an event unsettled that was sent ${oldestUnsettled} ms ago`] : []),
      ]),
    ];
    if (!report.ready && faults.length === 0) faults.push('it is not started');
    const status =
      faults.length === 0 ? { status: 'up' as const } : { status: 'down' as const, message: faults.join('; ') };
    return { [key ?? 'eventing']: { ...status, ...report } } as HealthResult<K>;
  }
}
