import type { Broker } from '../broker.js';
import type { ArtemisAccess } from './artemis-options.js';

/** A real ActiveMQ Artemis for tests. */
export interface ArtemisBroker extends Broker {
  readonly access: ArtemisAccess;
  /**
   * Calls an operation of its management API and gives what it returns:
   * `control('queue.orders', 'countMessages')`, `control('broker', 'closeConnectionWithID', id)`.
   */
  control(resource: string, operation: string, ...args: readonly unknown[]): Promise<unknown>;
  /** Closes all connections of clients from the broker's side, as an administrator would; gives how many there were. */
  closeConnections(): Promise<number>;
}
